package replaytest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/safe-go/safe/replay"
)

// together runs do in n goroutines that start at once, and ends the test if one
// fails. do must not end the test itself.
func (f *fixture) together(n int, do func(i int) error) {
	f.Helper()
	errs := make([]error, n)
	begin := make(chan struct{})
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			<-begin
			errs[i] = do(i)
		})
	}
	close(begin)
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			f.Errorf("%v", err)
		}
	}
	if f.Failed() {
		f.FailNow()
	}
}

// attempts bounds how often one goroutine tries to commit one batch. Every
// refusal means that another goroutine has won, so a correct store stays below.
const attempts = 10_000

func eachRevisionWonOnce(f *fixture) {
	const workers, rounds = 6, 25
	h, other := f.openTwo()
	handles := []*handle{h, other}
	var mu sync.Mutex
	winners := make(map[replay.Cursor]replay.Entry)
	batches := make(map[replay.Cursor]replay.Batch) // that have won, by their first position
	var missed []replay.Entry
	f.together(workers, func(worker int) error {
		var head replay.Cursor
		for round, tries := 0, 0; round < rounds; tries++ {
			if tries == attempts {
				return fmt.Errorf("worker %d did not win in %d attempts", worker, tries)
			}
			entries := many(fmt.Sprintf("worker %d round %d entry ", worker, round), 1+round%3)
			batch := follow(head, entries...)
			if head.IsZero() {
				batch = start(firstEpoch+uint64(worker), entries...)
			} else if round%4 == 0 {
				batch = withSnapshot(batch)
			}
			err := handles[worker%2].store.Append(f.ctx, "id", batch)
			conflict, refused := errors.AsType[*replay.ConflictError](err)
			mu.Lock()
			switch {
			case err == nil:
				for _, entry := range batch.Entries {
					if other, twice := winners[entry.Cursor]; twice {
						err = fmt.Errorf("%s was won twice: by %q and %q", entry.Cursor, other.Data, entry.Data)
					}
					winners[entry.Cursor] = entry
				}
				batches[firstOf(batch)] = batch
				head = batch.Last()
				round++
			case refused && conflict.Head != head && conflict.Reason == replay.ConflictMoved:
				if n := len(conflict.Missed); n == 0 || conflict.Missed[0].Cursor == head.Next() && conflict.Missed[n-1].Cursor == conflict.Head {
					err = nil
				}
				missed = append(missed, conflict.Missed...)
				head = conflict.Head
			}
			mu.Unlock()
			if err != nil {
				return fmt.Errorf("append at %s: %w", batch.Expect, err)
			}
		}
		return nil
	})

	// Every revision is there, and is what its one winner wrote.
	want := &history{}
	for head, next := h.load("id").Cursor, uint64(1); next <= head.Revision; next = want.head().Revision + 1 {
		batch, found := batches[replay.Cursor{Epoch: head.Epoch, Revision: next}]
		if !found {
			h.Fatalf("revision %d of a history at %s was not won", next, head)
		}
		want.add(batch)
	}
	if len(winners) != len(want.entries) {
		h.Fatalf("%d revisions were won of a history of %d", len(winners), len(want.entries))
	}
	h.holds("id", want)
	for _, entry := range missed {
		h.sameEntries("ConflictError.Missed", []replay.Entry{entry}, []replay.Entry{winners[entry.Cursor]})
	}
}

func oneBatchWins(f *fixture) {
	const workers, rounds = 6, 20
	h, other := f.openTwo()
	handles := []*handle{h, other}
	want := &history{}
	// Each round starts the history, restarts it, and removes it.
	for round := range rounds {
		for _, step := range []string{"start", "restart", "remove"} {
			batches := make([]replay.Batch, workers)
			for worker := range batches {
				entries := keyed(fmt.Sprint(step, " ", round, " of worker ", worker), "")
				epoch := max(firstEpoch, want.head().Epoch+1) + uint64(worker/2)
				switch {
				case step == "start":
					batches[worker] = start(epoch, entries...)
				case step == "restart" && worker < workers-1:
					batches[worker] = want.restart(epoch, entries...)
				default:
					batches[worker] = want.next(entries...)
					batches[worker].Remove = step == "remove" && worker%2 == 0
				}
				batches[worker].Meta = fmt.Append(nil, "meta of worker ", worker)
			}
			want.add(f.race(handles, batches))
			if !want.removed {
				h.holds("id", want)
				other.holds("id", want)
			}
		}
		if !want.removed {
			h.commit("id", want, want.end())
		}
		h.holdsNothing("id", want)
	}
}

// race appends all batches at once and returns the one that won.
func (f *fixture) race(handles []*handle, batches []replay.Batch) (winner replay.Batch) {
	f.Helper()
	won := make([]bool, len(batches))
	f.together(len(batches), func(i int) error {
		err := handles[i%len(handles)].store.Append(f.ctx, "id", batches[i])
		won[i] = err == nil
		if err != nil && !errors.Is(err, replay.ErrConflict) {
			return fmt.Errorf("append from %s: %w", firstOf(batches[i]), err)
		}
		return nil
	})
	winners := 0
	for i := range won {
		if won[i] {
			winner = batches[i]
			winners++
		}
	}
	if winners != 1 {
		f.Fatalf("%d of %d batches won the same revision; want 1", winners, len(batches))
	}
	return winner
}

func idsAreIndependent(f *fixture) {
	const workers, rounds = 8, 30
	h, other := f.openTwo()
	handles := []*handle{h, other}
	wants := make([]*history, workers)
	f.together(workers, func(worker int) error {
		store, id := handles[worker%2].store, fmt.Sprint("id ", worker)
		want := &history{}
		for round := range rounds {
			name := fmt.Sprintf("worker %d round %d entry ", worker, round)
			batch := start(firstEpoch+uint64(round), many(name, 2)...)
			if want.exists() {
				batch = want.next(many(name, 2)...)
			}
			batch.Remove = round%10 == 8
			if err := store.Append(f.ctx, id, batch); err != nil {
				return fmt.Errorf("nobody else writes to %q: %w", id, err)
			}
			want.add(batch)
			if batch.Remove {
				continue
			}
			got, err := store.Read(f.ctx, id, want.at(0), all)
			if err != nil || len(got) != len(want.entries) {
				return fmt.Errorf("read of %q: %d entries, error %v; want %d", id, len(got), err, len(want.entries))
			}
		}
		wants[worker] = want
		return nil
	})
	for worker, want := range wants {
		h.holds(fmt.Sprint("id ", worker), want)
	}
}

// ended reports whether the channel is closed.
func ended(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func oneNewKeyWins(f *fixture) {
	const workers, rounds = 5, 12
	h, other := f.openTwo()
	handles := []*handle{h, other}
	head := h.started("id", keyed("first")...).head()
	for round := range rounds {
		key := fmt.Sprint("key ", round)
		winners := make([]replay.Entry, workers) // as each worker has learned
		f.together(workers, func(worker int) error {
			for at, tries := head, 0; tries < attempts; tries++ {
				entries := contents(fmt.Sprint("worker ", worker), fmt.Sprint("key of worker ", worker))
				entries[1].Key = key
				batch := newKeys(follow(at, entries...))
				err := handles[worker%2].store.Append(f.ctx, "id", batch)
				conflict, refused := errors.AsType[*replay.ConflictError](err)
				switch {
				case err == nil:
					winners[worker] = batch.Entries[1]
					return nil
				case refused && conflict.Reason == replay.ConflictMoved:
					at = conflict.Head
				case refused && len(conflict.Known) == 1:
					winners[worker] = conflict.Known[0]
					return nil
				default:
					return fmt.Errorf("append of one new key at %s: %w", at, err)
				}
			}
			return fmt.Errorf("worker %d found no winner in %d attempts", worker, attempts)
		})
		found := h.find("id", key)
		for worker := range winners {
			h.sameEntries("the winner of a key", winners[worker:worker+1], found)
		}
		head = h.load("id").Cursor
	}
}
