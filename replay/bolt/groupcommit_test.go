package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/safe-go/safe/replay"
)

// answer is what an Append returned.
type answer struct{ err error }

// appendLater appends in the background.
func appendLater(ctx context.Context, s *Store, id string, batch replay.Batch) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		err := s.Append(ctx, id, batch)
		answers <- answer{err}
	}()
	return answers
}

// waiting is a group of batches that wait, in order, for a commit that is held.
type waiting struct {
	t       *testing.T
	store   *Store
	release func()
	opener  <-chan answer
	n       int
}

// newWaiting has a commit under way that ends when it is released.
func newWaiting(t *testing.T, s *Store, k model) *waiting {
	t.Helper()
	queued := func(running bool, last int) func() bool {
		return func() bool {
			s.queue.mu.Lock()
			defer s.queue.mu.Unlock()
			return s.queue.running == running && s.queue.last == last && len(s.queue.waiting) == 0
		}
	}
	await(t, "the store to be idle", queued(false, 0))
	w := &waiting{t: t, store: s, release: held(s)}
	t.Cleanup(w.release)
	batch := k.next("opener", entryOf("opens"))
	w.opener = appendLater(t.Context(), s, "opener", batch)
	k.add("opener", batch)
	await(t, "the opener to be under way", queued(true, 1))
	return w
}

// append has one more batch wait.
func (w *waiting) append(ctx context.Context, id string, batch replay.Batch) <-chan answer {
	w.t.Helper()
	answers := appendLater(ctx, w.store, id, batch)
	w.n++
	awaitWaiting(w.t, w.store, w.n)
	return answers
}

func TestGroup_OneCommit(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	before, _ := s.durable.newest()
	w := newWaiting(t, s, k)
	var answers []<-chan answer
	for i := range 100 {
		id := fmt.Sprint("id ", i)
		batch := k.next(id, entryOf("first"), entryOf("second"))
		answers = append(answers, w.append(t.Context(), id, batch))
		k.add(id, batch)
	}
	w.release()
	for i := range answers {
		if got := <-answers[i]; got.err != nil {
			t.Errorf("Append %d: %v", i, got.err)
		}
	}
	if after, _ := s.durable.newest(); after != before+2 {
		t.Errorf("101 batches took %d commits; want 2", after-before)
	}
	mustHold(t, s, k)
}

func TestGroup_BatchesInOrder(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
	w := newWaiting(t, s, k)

	first := k.next("id", replay.Entry{Data: []byte("first"), Key: "key"})
	rival := k.next("id", entryOf("rival"))
	one := w.append(t.Context(), "id", first)
	two := w.append(t.Context(), "id", rival)
	k.add("id", first)
	second := k.next("id", replay.Entry{Data: []byte("second"), Key: "key"})
	known := second
	known.NewKeys = true
	three := w.append(t.Context(), "id", known)
	four := w.append(t.Context(), "id", second)
	k.add("id", second)
	end := k.next("id", entryOf("the end"))
	end.Remove = true
	five := w.append(t.Context(), "id", end)
	six := w.append(t.Context(), "id", k.next("id", entryOf("too late")))
	k.add("id", end)
	again := numbered(replay.Batch{}, replay.Cursor{Epoch: 8}, []replay.Entry{entryOf("again")})
	seven := w.append(t.Context(), "id", again)
	k.add("id", again)
	w.release()

	for i, answers := range []<-chan answer{w.opener, one, four, five, seven} {
		if got := <-answers; got.err != nil {
			t.Errorf("batch %d: %v", i, got.err)
		}
	}
	if conflict := conflictOf(t, <-two); conflict.Head.Epoch != 7 || conflict.Head.Revision < 2 || conflict.Reason == replay.ConflictRemoved {
		t.Errorf("the rival met %+v", conflict)
	}
	if conflict := conflictOf(t, <-three); conflict.Head != first.Last() || len(conflict.Known) != 1 {
		t.Errorf("the batch whose key is known met %+v", conflict)
	}
	if conflict := conflictOf(t, <-six); conflict.Head != end.Last() || conflict.Reason != replay.ConflictRemoved {
		t.Errorf("the batch after the end met %+v", conflict)
	}
	mustHold(t, s, k)
}

func conflictOf(t *testing.T, got answer) *replay.ConflictError {
	t.Helper()
	conflict, ok := errors.AsType[*replay.ConflictError](got.err)
	if !ok {
		t.Fatalf("Append returned %v; want a ConflictError", got.err)
	}
	return conflict
}

func TestAppend_CanceledWhileQueued(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	w := newWaiting(t, s, k)
	ctx, cancel := context.WithCancel(t.Context())
	left := w.append(ctx, "left out", k.next("left out", entryOf("lost")))
	batch := k.next("id", entryOf("kept"))
	kept := w.append(t.Context(), "id", batch)
	k.add("id", batch)
	cancel()
	if got := <-left; !errors.Is(got.err, context.Canceled) {
		t.Errorf("the batch whose context ended: %v; want %v", got.err, context.Canceled)
	}
	w.release()
	if got := <-kept; got.err != nil {
		t.Error(got.err)
	}
	mustHold(t, s, k)
}

func TestAppend_CanceledInCommit(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	ctx, cancel := context.WithCancel(t.Context())
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		cancel() // it is too late to leave it out
		return write(b, off)
	})
	batch := k.next("id", entryOf("kept"))
	err := s.Append(ctx, "id", batch)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	k.add("id", batch)
	await(t, "the batch", func() bool {
		_, err := s.Load(t.Context(), "id", replay.Cursor{})
		return err == nil
	})
	mustHold(t, s, k)
}

func TestAppend_ReturnsAfterCommit(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	var answered, early atomic.Int64
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		if isMeta(s, off) {
			early.Store(answered.Load())
		}
		return write(b, off)
	})
	for i := range 20 {
		batch := k.next("id", entryOf("data"))
		mustAppend(t, s, k, "id", batch)
		if early.Load() != int64(i) {
			t.Fatalf("%d of %d batches were answered when the commit of the last began", early.Load(), i+1)
		}
		answered.Add(1)
	}
}

func TestGroup_FailureHidesConflicts(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("before")))
	faults := failData(s)
	w := newWaiting(t, s, k)
	winner := w.append(t.Context(), "id", k.next("id", entryOf("winner")))
	loser := w.append(t.Context(), "id", k.next("id", entryOf("loser")))
	faults.set(syscall.EIO)
	w.release()
	for _, answers := range []<-chan answer{w.opener, winner, loser} {
		if got := <-answers; !errors.Is(got.err, replay.ErrUnavailable) || !errors.Is(got.err, syscall.EIO) {
			t.Errorf("an Append that was not committed: %v; want ErrUnavailable and EIO", got.err)
		}
	}
	faults.set(nil)
	delete(k, "opener")
	mustHold(t, s, k)
}

func TestClose_QueuedBatches(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	w := newWaiting(t, s, k)
	waits := w.append(t.Context(), "id", k.next("id", entryOf("refused")))
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	if got := <-waits; !errors.Is(got.err, replay.ErrClosed) {
		t.Errorf("the batch that waited: %v; want ErrClosed", got.err)
	}
	w.release()
	if got := <-w.opener; got.err != nil {
		t.Errorf("the batch under way: %v", got.err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	mustHold(t, open(t, path, nil), k)
}

func TestQueue_GroupBounds(t *testing.T) {
	q := &queue{running: true}
	add := func(n, bytes int) {
		for range n {
			if err := q.add(&pending{bytes: bytes, done: make(chan struct{})}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(maxGroup+10, 1)
	for _, want := range []int{maxGroup, 10} {
		if group, end := q.take(true); len(group) != want || end {
			t.Errorf("a group of %d, end %t; want %d", len(group), end, want)
		}
	}
	add(3, maxGroupBytes/2)
	add(1, maxGroupBytes*2)
	for _, want := range []int{2, 2} {
		if group, end := q.take(true); len(group) != want || end {
			t.Errorf("a group of %d, end %t; want %d", len(group), end, want)
		}
	}
	if group, end := q.take(false); len(group) != 0 || end {
		t.Errorf("a group of %d, end %t, though it is not idle", len(group), end)
	}
	if group, end := q.take(true); len(group) != 0 || !end {
		t.Errorf("a group of %d, end %t, though there is nothing to do", len(group), end)
	}
}

func TestConflict_MissedEntries(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	var many []replay.Entry
	for range maxMissed + 1 {
		many = append(many, entryOf("data"))
	}
	mustAppend(t, s, k, "many", k.next("many", many...))
	mustAppend(t, s, k, "large", k.next("large", replay.Entry{Data: make([]byte, maxMissedBytes)}, entryOf("a"), entryOf("b")))
	for _, test := range []struct {
		id       string
		revision uint64
		missed   int
	}{
		{"many", 0, 0}, // 1001 are too many
		{"many", 1, maxMissed},
		{"many", maxMissed, 1},
		{"many", maxMissed + 2, 0},
		{"large", 0, 0},
		{"large", 1, 2},
	} {
		expect := replay.Cursor{Epoch: 7, Revision: test.revision}
		err := s.Append(t.Context(), test.id, numbered(replay.Batch{Expect: expect}, expect, []replay.Entry{entryOf("lost")}))
		conflict := conflictOf(t, answer{err})
		if len(conflict.Missed) != test.missed {
			t.Errorf("%q after %d: %d missed; want %d", test.id, test.revision, len(conflict.Missed), test.missed)
		}
		if test.missed > 0 {
			if err := sameEntries(conflict.Missed, k[test.id].entries()[test.revision:]); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestConflict_HeadOfEvaluation(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("a"), entryOf("b")))
	conflict := &replay.ConflictError{ID: "id", Expected: replay.Cursor{Epoch: 7, Revision: 1}, Head: k["id"].head(), Reason: replay.ConflictMoved}
	want := k["id"].entries()[1:]
	mustAppend(t, s, k, "id", k.next("id", entryOf("c"))) // before it is looked up what was missed
	s.addMissed(t.Context(), conflict)
	if err := sameEntries(conflict.Missed, want); err != nil {
		t.Error(err)
	}
	conflict.Missed = nil
	remove(t, s, k, "id")
	s.addMissed(t.Context(), conflict)
	if conflict.Missed != nil {
		t.Errorf("%d entries of a removed history were missed", len(conflict.Missed))
	}
}

func TestIDs_ContextEnded(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.IDs(ctx) {
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		if err == nil && ctx.Err() != nil {
			t.Error("IDs continues after the context has ended")
		}
		cancel()
	}
}
