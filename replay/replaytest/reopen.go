package replaytest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/safe-go/safe/replay"
)

func reopens(f *fixture) {
	s := f.open()
	wants := map[string]*history{
		"id":    s.grown("id", 5),
		"other": s.started("other", keyed("key")...),
		"🙂 {}":  s.started("🙂 {}"),
	}
	batch := wants["other"].next(replay.Entry{Data: []byte{0, 0xff}, State: []byte("state")}, replay.Entry{})
	batch.Meta = []byte("meta")
	s.commit("other", wants["other"], batch)
	for range 3 {
		s = f.reopen(s)
		s.sameIDs([]string{"id", "other", "🙂 {}"})
		for id, want := range wants {
			s.holds(id, want)
			s.conflictAt(id, want, start(firstEpoch+1, contents("lost")...))
			s.conflictAt(id, want, follow(want.head().Next(), contents("lost")...))
			s.readRefused(id, want.head().Next(), replay.ErrFutureCursor, want.head(), 1)
			s.commit(id, want, want.next(contents("after reopening")...))
		}
		s.sameEntries("Find after reopening", s.find("other", "key"), wants["other"].entries[:1])
	}
}

func reopensWithEpochs(f *fixture) {
	s := f.open()
	for i := range 50 {
		s.append(fmt.Sprint("other ", i), removing(start(firstEpoch+uint64(i), contents("other")...)))
	}
	want := s.started("id")
	s.append("id", removing(want.next(contents("the end")...)))
	s = f.reopen(s)
	want.add(want.next(contents("the end")...))
	s.removed("id", want)
	for _, epoch := range []uint64{1, firstEpoch - 1, firstEpoch} {
		s.conflictRemoved("id", want.head(), start(epoch, contents("lost")...))
	}
	for i := range uint64(50) {
		id, last := fmt.Sprint("other ", i), replay.Cursor{Epoch: firstEpoch + i, Revision: 1}
		s.conflictRemoved(id, last, start(last.Epoch, contents("lost")...))
	}
	again := &history{}
	s.commit("id", again, start(firstEpoch+1000, contents("again")...))
	s = f.reopen(s)
	s.holds("id", again)
	s.readRefused("id", want.zero(), replay.ErrUnknownEpoch, again.head(), 1)
}

func reopensWhatStartedOver(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("a", "b")...)
	over := want.over(firstEpoch+1, replay.Entry{Data: []byte("c"), Key: "c"}, replay.Entry{Data: []byte("d")})
	over.Meta = []byte("meta")
	s.commit("id", want, over)
	for i := range 3 {
		s = f.reopen(s)
		s.holds("id", want)
		s.finds("id", want, 1, "a", "b", "c")
		s.readRefused("id", replay.Cursor{Epoch: firstEpoch, Revision: 1}, replay.ErrUnknownEpoch, want.head(), 1)
		s.conflictAt("id", want, follow(replay.Cursor{Epoch: firstEpoch, Revision: 2}, contents("lost")...))
		s.commit("id", want, want.over(firstEpoch+2+uint64(i), contents("again")...))
		s.holds("id", want)
	}
	s.commit("id", want, removing(want.next(contents("the end")...)))
	s = f.reopen(s)
	s.removed("id", want)
	for epoch := range want.head().Epoch - firstEpoch + 1 {
		s.conflictRemoved("id", want.head(), start(firstEpoch+epoch, contents("lost")...))
	}
}

func reopensTrimmed(f *fixture) {
	s := f.openBounded(5)
	want, _ := s.trimmed("id", 5)
	s.commit("id", want, want.next(replay.Entry{Data: []byte("data"), State: []byte("state")}))
	oldest := s.commit("id", want, want.next(keyed("key 0", "key 1", "key 2", "key 3", "key 4")...))
	for range 2 {
		s = f.reopen(s)
		// It may trim more, but what it has trimmed does not come back.
		reopened := s.load("id").Oldest
		if reopened < oldest {
			s.Errorf("oldest is %d after reopening, and was %d", reopened, oldest)
		}
		oldest = reopened
		s.agrees("id", want, oldest, 5)
		s.finds("id", want, oldest, "key 0", "key 4")
		oldest = s.commit("id", want, want.next(keyed("key 0", "key 1", "key 2", "key 3", "key 4")...))
		s.agrees("id", want, oldest, 5)
	}
}

// reopensWithAcknowledged closes the store under those who append to it.
func reopensWithAcknowledged(f *fixture) {
	const workers, enough, limit = 4, 5, 400
	if f.harness.Reopen == nil {
		f.Skipf("the harness has no Reopen")
	}
	s := f.open()
	wants := make([]*history, workers)
	tried := make([]replay.Batch, workers) // the last one, if it was not acknowledged
	errs := make([]error, workers)
	var begun, wait sync.WaitGroup
	begun.Add(workers)
	for worker := range workers {
		wait.Go(func() {
			begin := sync.OnceFunc(begun.Done)
			defer begin()
			want, id := &history{}, fmt.Sprint("id ", worker)
			wants[worker] = want
			for i := range limit {
				batch := start(firstEpoch, many(fmt.Sprint("batch ", i, " "), 2)...)
				if i > 0 {
					batch = want.next(batch.Entries...)
				}
				if err := s.store.Append(f.ctx, id, batch); err != nil {
					errs[worker], tried[worker] = err, batch
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
	again := f.reopen(s)
	wait.Wait()
	for worker, want := range wants {
		id := fmt.Sprint("id ", worker)
		if errs[worker] != nil && !errors.Is(errs[worker], replay.ErrClosed) {
			s.Errorf("Append while the store is closed: %v", errs[worker])
		}
		if len(want.entries) == 0 {
			s.Errorf("Append before the store is closed: %v", errs[worker])
			continue
		}
		// A batch that was not acknowledged may be there or not, but whole.
		if again.load(id).Cursor != want.head() && tried[worker].Entries != nil {
			want.add(tried[worker])
		}
		again.holds(id, want)
		again.commit(id, want, want.next(contents("after reopening")...))
		again.holds(id, want)
	}
}
