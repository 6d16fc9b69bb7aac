package replaytest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/safe-go/safe/replay"
)

func reopens(f *fixture) {
	h := f.open()
	wants := map[string]*history{
		"id":    h.grown("id", 5),
		"other": h.started("other", keyed("key")...),
		"🙂 {}":  h.started("🙂 {}"),
		"over":  h.started("over", keyed("a", "b")...),
	}
	batch := wants["other"].next(replay.Entry{Data: []byte{0, 0xff}}, replay.Entry{})
	batch.Meta, batch.Snapshot = []byte("meta"), []byte{0, 0xff}
	h.commit("other", wants["other"], batch)
	over := wants["over"]
	for i := range uint64(3) {
		batch = over.restart(firstEpoch+1+i, replay.Entry{Data: []byte("c"), Key: "c"}, replay.Entry{Data: []byte("d")})
		batch.Meta = []byte("meta")
		h.commit("over", over, batch)
		h = f.reopen(h)
		h.sameIDs("id", "other", "over", "🙂 {}")
		for id, want := range wants {
			h.holds(id, want)
			h.moved(id, want, start(firstEpoch+1, contents("lost")...))
			h.moved(id, want, follow(want.head().Next(), contents("lost")...))
			h.readRefused(id, want, want.head().Next(), replay.ErrFutureCursor, 1)
			batch := want.next(contents("after reopening")...)
			if i == 1 {
				batch = withSnapshot(batch)
			}
			h.commit(id, want, batch)
		}
		h.sameEntries("Find after reopening", h.find("other", "key"), wants["other"].entries[:1])
		h.finds("over", over, 1, "a", "b", "c")
		h.readRefused("over", over, replay.Cursor{Epoch: firstEpoch, Revision: 1}, replay.ErrUnknownEpoch, 1)
		h.moved("over", over, follow(replay.Cursor{Epoch: firstEpoch, Revision: 2}, contents("lost")...))
	}
}

func reopensWithEpochs(f *fixture) {
	h := f.open()
	wants := make(map[string]*history)
	for i := range uint64(50) {
		id := fmt.Sprint("id ", i)
		wants[id] = &history{}
		h.commit(id, wants[id], removing(start(firstEpoch+i, contents("first")...)))
	}
	want := h.started("id")
	h.commit("id", want, want.restart(firstEpoch+1, keyed("key")...))
	h.commit("id", want, want.end())
	wants["id"] = want
	h = f.reopen(h)
	for id, want := range wants {
		h.holdsNothing(id, want)
		for _, epoch := range []uint64{1, firstEpoch - 1, firstEpoch} {
			h.refused(replay.ConflictRemoved, id, want, start(epoch, contents("lost")...))
		}
	}
	h.commit("id", want, start(firstEpoch+1000, contents("again")...))
	h = f.reopen(h)
	h.holds("id", want)
	h.readRefused("id", want, replay.Cursor{Epoch: firstEpoch}, replay.ErrUnknownEpoch, 1)
}

func reopensTrimmed(f *fixture) {
	h := f.openBounded(5)
	want, _ := h.trimmed("id", 5)
	oldest := h.commit("id", want, withSnapshot(want.next(keyed("key 0", "key 1", "key 2", "key 3", "key 4")...)))
	for range 2 {
		h = f.reopen(h)
		// The store may trim more, but trimmed entries do not return.
		reopened := h.load("id").Oldest
		if reopened < oldest {
			h.Errorf("oldest is %d after reopening, and was %d", reopened, oldest)
		}
		oldest = reopened
		h.agrees("id", want, oldest, 5)
		h.finds("id", want, oldest, "key 0", "key 4")
		oldest = h.commit("id", want, want.next(keyed("key 0", "key 1", "key 2", "key 3", "key 4", "key 5")...))
		h.agrees("id", want, oldest, 5)
	}
}

// reopensWithAcknowledged closes the store while goroutines append to it.
func reopensWithAcknowledged(f *fixture) {
	const workers, enough, limit = 4, 5, 400
	if f.harness.Reopen == nil {
		f.Skipf("the harness has no Reopen")
	}
	h := f.open()
	wants := make([]*history, workers)
	failed := make([]replay.Batch, workers) // the last one, if it was not acknowledged
	errs := make([]error, workers)
	var begun, wait sync.WaitGroup
	begun.Add(workers)
	for worker := range workers {
		wants[worker] = &history{}
		wait.Go(func() {
			begin := sync.OnceFunc(begun.Done)
			defer begin()
			want, id := wants[worker], fmt.Sprint("id ", worker)
			for i := range limit {
				batch := start(firstEpoch, many(fmt.Sprint("batch ", i, " "), 2)...)
				if i > 0 {
					batch = want.next(batch.Entries...)
				}
				if err := h.store.Append(f.ctx, id, batch); err != nil {
					errs[worker], failed[worker] = err, batch
					return
				}
				want.add(batch)
				if i == enough {
					begin()
				}
			}
		})
	}
	begun.Wait()
	again := f.reopen(h)
	wait.Wait()
	for worker, want := range wants {
		id := fmt.Sprint("id ", worker)
		if errs[worker] != nil && !errors.Is(errs[worker], replay.ErrClosed) {
			h.Errorf("Append while the store is closed: %v", errs[worker])
		}
		if !want.exists() {
			h.Errorf("Append before the store is closed: %v", errs[worker])
			continue
		}
		// A batch that was not acknowledged may be there or not, but whole.
		if failed[worker].Entries != nil && again.load(id).Cursor != want.head() {
			want.add(failed[worker])
		}
		again.holds(id, want)
		again.commit(id, want, want.next(contents("after reopening")...))
		again.holds(id, want)
	}
}
