package replaytest

import (
	"errors"
	"fmt"
	"runtime"
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
			_, err := store.Append(f.ctx, "id", batch)
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
			if conflict.Head == head || conflict.Removed {
				return fmt.Errorf("expecting %s: ConflictError has head %s, removed %t", head, conflict.Head, conflict.Removed)
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
		_, err := handles[i%len(handles)].store.Append(f.ctx, "id", batches[i])
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
			if _, err := store.Append(f.ctx, id, batch); err != nil {
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

func readersSeeNoHoles(f *fixture)        { f.readWhileWriting(f.open(), unbounded, 1) }
func trimmedReadersSeeNoHoles(f *fixture) { f.readWhileWriting(f.openBounded(5), 5, 1) }
func readersSeeOneEpoch(f *fixture)       { f.readWhileWriting(f.open(), unbounded, 12) }

// unbounded is the bound of a store that trims nothing in these tests.
const unbounded = -1

// entryAt is the entry that readWhileWriting writes at a position; whoever
// reads it can tell that it is the right one.
func entryAt(cursor replay.Cursor) replay.Entry {
	entry := replay.Entry{Cursor: cursor, Key: "key " + cursor.String(), Data: []byte("data " + cursor.String())}
	if cursor.Revision%3 == 1 {
		entry.State = stateAt(cursor)
	}
	return entry
}

// stateAt is the newest state and metaAt the meta when cursor is the head.
func stateAt(cursor replay.Cursor) []byte {
	cursor.Revision -= (cursor.Revision + 2) % 3
	return []byte("state " + cursor.String())
}

func metaAt(cursor replay.Cursor) []byte { return []byte("meta " + cursor.String()) }

// readWhileWriting writes an id, in that many epochs, while readers check each
// answer they get for what was committed.
func (f *fixture) readWhileWriting(s *subject, bound, epochs int) {
	f.Helper()
	const batches, readers = 120, 3
	handles := []*subject{s, f.second(s)}
	written, failed := make(chan struct{}), make(chan struct{})
	fail := sync.OnceFunc(func() { close(failed) })
	looked := make(chan struct{})
	// The writer waits for a reader now and then, so that they meet however
	// fast the store is.
	pace := func(batch int) {
		if batch%2 == 1 {
			select {
			case <-looked:
			case <-failed:
			}
		}
	}
	f.together(1+readers, func(i int) error {
		if i == 0 {
			defer close(written)
			return writeEpochs(f, s.store, epochs, batches/epochs, pace)
		}
		r := reader{fixture: f, store: handles[i%2].store, bound: bound}
		for {
			over := ended(written)
			if err := r.look(); err != nil {
				fail()
				return err
			}
			if over {
				return nil
			}
			select {
			case looked <- struct{}{}:
			default:
				runtime.Gosched()
			}
		}
	})
}

// writeEpochs writes an id in that many epochs of that many batches each, and
// calls pace after each batch.
func writeEpochs(f *fixture, store replay.Store, epochs, batches int, pace func(batch int)) error {
	for epoch := range uint64(epochs) {
		head := replay.Cursor{Epoch: firstEpoch + epoch}
		for i := range batches {
			batch := replay.Batch{Expect: head}
			if i == 0 {
				batch.Expect = replay.Cursor{}
			}
			for range 1 + i%3 {
				head = head.Next()
				batch.Entries = append(batch.Entries, entryAt(head))
			}
			batch.Meta = metaAt(head)
			batch.Remove = i == batches-1 && epoch < uint64(epochs)-1
			if _, err := store.Append(f.ctx, "id", batch); err != nil {
				return fmt.Errorf("the only writer, at %s: %w", batch.Expect, err)
			}
			pace(i)
		}
	}
	return nil
}

// reader follows the history that writeEpochs writes.
type reader struct {
	*fixture
	store replay.Store
	bound int
	at    replay.Cursor // all up to here was seen, or was said to be trimmed
	head  replay.Cursor // the newest head that was seen
}

// look loads the head and reads on to it.
func (r *reader) look() error {
	head, err := r.store.Load(r.ctx, "id")
	if errors.Is(err, replay.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if head.Cursor.Epoch < r.head.Epoch || head.Cursor.Epoch == r.head.Epoch && head.Cursor.Revision < r.head.Revision {
		return fmt.Errorf("load: the head went back from %s to %s", r.head, head.Cursor)
	}
	if string(head.State) != string(stateAt(head.Cursor)) || string(head.Meta) != string(metaAt(head.Cursor)) {
		return fmt.Errorf("load: head %s has state %q and meta %q", head.Cursor, head.State, head.Meta)
	}
	if r.bound == unbounded && head.Oldest != 1 {
		return fmt.Errorf("load: head %s has oldest %d, but nothing had to be trimmed", head.Cursor, head.Oldest)
	}
	if head.Cursor.Epoch != r.head.Epoch {
		r.at = replay.Cursor{Epoch: head.Cursor.Epoch}
	}
	r.head = head.Cursor
	for r.at.Revision < head.Cursor.Revision {
		over, err := r.piece()
		if over || err != nil {
			return err
		}
	}
	return nil
}

// piece reads a few entries. It is over when the epoch is.
func (r *reader) piece() (over bool, err error) {
	entries, err := r.store.Read(r.ctx, "id", r.at, 10)
	refusal, refused := errors.AsType[*replay.CursorError](err)
	switch {
	case errors.Is(err, replay.ErrNotFound):
		return true, nil
	case errors.Is(err, replay.ErrUnknownEpoch) && refused && refusal.Head.Epoch > r.at.Epoch:
		return true, nil
	case errors.Is(err, replay.ErrCursorTooOld) && refused && r.bound != unbounded && refusal.Oldest > r.at.Revision+1:
		r.at.Revision = refusal.Oldest - 1
		return false, nil
	case err != nil:
		return true, fmt.Errorf("read after %s, when the head was %s: %w", r.at, r.head, err)
	case len(entries) == 0:
		return true, fmt.Errorf("read after %s, when the head was %s: no entries", r.at, r.head)
	}
	for _, entry := range entries {
		r.at = r.at.Next()
		if difference := differ(entry, entryAt(r.at)); difference != "" {
			return true, fmt.Errorf("read when the head was %s: %s", r.head, difference)
		}
	}
	return false, nil
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
