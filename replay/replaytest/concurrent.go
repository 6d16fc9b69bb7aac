package replaytest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/safe-go/safe/replay"
)

// together runs do in n goroutines that start at once, and ends the test when
// one fails. A do must not end the test itself.
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

// attempts bounds how often one goroutine tries to win one batch. Every
// refusal means that somebody else won, so it is out of reach of a sound store.
const attempts = 10_000

func eachRevisionWonOnce(f *fixture) {
	const workers, rounds = 6, 25
	s := f.open()
	handles := []*subject{s, f.second(s)}
	won := make([][]replay.Entry, workers)
	missed := make([][]replay.Entry, workers)
	f.together(workers, func(worker int) error {
		store := handles[worker%2].store
		var head replay.Cursor
		for round, tries := 0, 0; round < rounds; tries++ {
			if tries == attempts {
				return fmt.Errorf("worker %d did not win in %d attempts", worker, tries)
			}
			entries := many(fmt.Sprintf("worker %d round %d entry ", worker, round), 1+round%3)
			batch := follow(head, entries...)
			if head.IsZero() {
				batch = start(firstEpoch+uint64(worker), entries...)
			}
			err := store.Append(f.ctx, "id", batch)
			if err == nil {
				won[worker] = append(won[worker], batch.Entries...)
				head = batch.Last()
				round++
				continue
			}
			conflict, ok := errors.AsType[*replay.ConflictError](err)
			if !ok {
				return fmt.Errorf("append at %s: %w", head, err)
			}
			if conflict.Head == head || conflict.Reason == replay.ConflictRemoved {
				return fmt.Errorf("expecting %s: ConflictError has head %s, removed %t", head, conflict.Head, conflict.Reason == replay.ConflictRemoved)
			}
			if n := len(conflict.Missed); n > 0 && (conflict.Missed[0].Cursor != head.Next() || conflict.Missed[n-1].Cursor != conflict.Head) {
				return fmt.Errorf("expecting %s, with the head at %s: ConflictError.Missed is from %s to %s",
					head, conflict.Head, conflict.Missed[0].Cursor, conflict.Missed[n-1].Cursor)
			}
			missed[worker] = append(missed[worker], conflict.Missed...)
			head = conflict.Head
		}
		return nil
	})

	// Every revision is there, and is what its one winner wrote.
	head := s.load("id").Cursor
	winners := make(map[replay.Cursor]replay.Entry)
	for worker := range won {
		for _, entry := range won[worker] {
			if other, twice := winners[entry.Cursor]; twice {
				s.Errorf("%s was won twice: by %q and %q", entry.Cursor, other.Data, entry.Data)
			}
			winners[entry.Cursor] = entry
		}
	}
	want := &history{}
	for revision := range head.Revision {
		want.entries = append(want.entries, winners[replay.Cursor{Epoch: head.Epoch, Revision: revision + 1}])
	}
	if len(winners) != len(want.entries) {
		s.Fatalf("%d revisions were won of a history at %s", len(winners), head)
	}
	s.holds("id", want)
	for worker := range missed {
		for _, entry := range missed[worker] {
			if difference := differ(entry, winners[entry.Cursor]); difference != "" {
				s.Fatalf("ConflictError.Missed had what was never won: %s", difference)
			}
		}
	}
}

func oneStartWins(f *fixture) {
	const workers, rounds = 5, 20
	s := f.open()
	handles := []*subject{s, f.second(s)}
	var last replay.Cursor
	for range rounds {
		// All start the history; then all who can remove it.
		batches := make([]replay.Batch, workers)
		for worker := range batches {
			epoch := max(firstEpoch, last.Epoch+1) + uint64(worker)
			batches[worker] = start(epoch, contents(fmt.Sprint(worker))...)
		}
		winner := f.race(handles, batches)
		want := &history{}
		want.add(winner)
		s.holds("id", want)

		for worker := range batches {
			batches[worker] = want.next(contents(fmt.Sprint(worker))...)
			batches[worker].Remove = worker%2 == 0
		}
		winner = f.race(handles, batches)
		want.add(winner)
		if !winner.Remove {
			s.holds("id", want)
			s.append("id", removing(want.next(contents("the end")...)))
			want.add(want.next(contents("the end")...))
		}
		s.holdsNothing("id")
		last = want.head()
	}
}

// race appends all batches at once and returns the one that won.
func (f *fixture) race(handles []*subject, batches []replay.Batch) (winner replay.Batch) {
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
	s := f.open()
	handles := []*subject{s, f.second(s)}
	wants := make([]*history, workers)
	f.together(workers, func(worker int) error {
		store, id := handles[worker%2].store, fmt.Sprint("id ", worker)
		want, epoch := &history{}, firstEpoch
		for round := range rounds {
			name := fmt.Sprintf("worker %d round %d entry ", worker, round)
			batch := start(epoch, many(name, 2)...)
			if len(want.entries) > 0 {
				batch = want.next(many(name, 2)...)
			}
			batch.Remove = round%10 == 8
			if err := store.Append(f.ctx, id, batch); err != nil {
				return fmt.Errorf("nobody else writes to %q: %w", id, err)
			}
			want.add(batch)
			if batch.Remove {
				want, epoch = &history{}, epoch+1
				continue
			}
			got, err := store.Read(f.ctx, id, want.zero(), all)
			if err != nil || len(got) != len(want.entries) {
				return fmt.Errorf("read of %q: %d entries, error %v; want %d", id, len(got), err, len(want.entries))
			}
		}
		wants[worker] = want
		return nil
	})
	for worker, want := range wants {
		s.holds(fmt.Sprint("id ", worker), want)
	}
}

// ended says whether the channel is closed.
func ended(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}
