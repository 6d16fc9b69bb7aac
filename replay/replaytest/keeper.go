package replaytest

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// keeper keeps a copy of a history up to date by what a Follower tells it and
// by what it reads then, as a Manager does.
type keeper struct {
	*subject
	id   string
	sent ledger
	stop func()

	// entries are those of the epoch of head, up to head. gone says that the
	// history was removed after it.
	entries []replay.Entry
	head    replay.Cursor
	gone    bool

	wake chan struct{} // has an element when something was told

	// mu guards all below.
	mu      sync.Mutex
	queue   [][]replay.Entry
	telling int // calls of tell that are under way
	calls   int
	nils    int
	faults  []string
}

// ledger has the batches of one id by the positions of their first entries.
type ledger map[replay.Cursor]replay.Batch

// theEnd is the last entry of every history that a keeper follows: so it knows
// from the entries alone that they end.
func theEnd() []replay.Entry { return contents("the end") }

// send commits a batch and notes it for the keepers.
func (s *subject) send(id string, want *history, sent ledger, batch replay.Batch) {
	s.Helper()
	sent[firstOf(batch)] = batch
	s.commit(id, want, batch)
}

// follower returns the store as a Follower or skips the test.
func (s *subject) follower() replay.Follower {
	s.Helper()
	follower, ok := s.store.(replay.Follower)
	if !ok {
		s.Skipf("%T is no replay.Follower", s.store)
	}
	return follower
}

// keeps follows a history until the test ends.
func (s *subject) keeps(id string, sent ledger) *keeper {
	s.Helper()
	k := &keeper{subject: s, id: id, sent: sent, wake: make(chan struct{}, 1)}
	k.stop = s.follower().Follow(id, k.tell)
	s.Cleanup(k.stop)
	return k
}

// tell notes what it is told.
func (k *keeper) tell(entries []replay.Entry) {
	k.mu.Lock()
	k.calls++
	k.queue = append(k.queue, entries)
	if entries == nil {
		k.nils++
	} else if len(entries) == 0 {
		k.faults = append(k.faults, "told of no entries, which is not nil")
	}
	if k.telling++; k.telling > 1 {
		k.faults = append(k.faults, "told by two goroutines at once")
	}
	k.mu.Unlock()
	runtime.Gosched() // another call has its chance to come in between

	k.mu.Lock()
	defer k.mu.Unlock()
	k.telling--
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// told says how often tell was called.
func (k *keeper) told() (calls, nils int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls, k.nils
}

// next returns what was told and is not yet applied.
func (k *keeper) next() (entries []replay.Entry, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fault := range k.faults {
		k.Errorf("follower of %.40q: %s", k.id, fault)
	}
	k.faults = nil
	if len(k.queue) == 0 {
		return nil, false
	}
	entries, k.queue = k.queue[0], k.queue[1:]
	return entries, true
}

// until applies what is told until done, and ends the test when that takes too
// long.
func (k *keeper) until(what string, done func() bool) {
	k.Helper()
	late := time.NewTimer(k.patience())
	defer late.Stop()
	for {
		for entries, more := k.next(); more; entries, more = k.next() {
			k.apply(entries)
		}
		if done() {
			return
		}
		select {
		case <-k.wake:
		case <-late.C:
			calls, nils := k.told()
			k.Fatalf("follower of %.40q: not told of %s within %v; it is at %s, gone %t, after %d calls of tell, %d with nil",
				k.id, what, k.patience(), k.head, k.gone, calls, nils)
		}
	}
}

// untilBegun waits until the telling has begun.
func (k *keeper) untilBegun() {
	k.Helper()
	k.until("the beginning", func() bool {
		_, nils := k.told()
		return nils > 0
	})
}

// untilAt waits until the keeper has the whole history.
func (k *keeper) untilAt(want *history) {
	k.Helper()
	k.until(want.head().String(), func() bool { return !k.gone && k.head == want.head() })
	k.sameEntries("what a follower has", k.entries, want.entries)
}

// untilGone waits until the keeper knows that the history was removed.
func (k *keeper) untilGone() {
	k.Helper()
	k.until("the end", func() bool { return k.gone })
}

// apply takes what continues the history, passes over what is known, and reads
// where something is missing.
func (k *keeper) apply(entries []replay.Entry) {
	k.Helper()
	if len(entries) == 0 {
		k.refresh()
		return
	}
	batch := replay.Batch{Entries: entries}
	sent, found := k.sent[firstOf(batch)]
	if !found {
		k.Errorf("follower of %.40q: told from %s, where no batch of this history begins", k.id, firstOf(batch))
		return
	}
	k.sameEntries("what a follower is told of a batch", entries, sent.Entries)
	switch first := firstOf(batch); {
	case !later(batch.Last(), k.head):
	case !k.gone && first == k.head.Next(), first.Revision == 1 && first.Epoch > k.head.Epoch:
		k.take(entries)
	default:
		k.refresh()
	}
}

func (k *keeper) take(entries []replay.Entry) {
	last := entries[len(entries)-1]
	if last.Cursor.Epoch != k.head.Epoch {
		k.entries = nil
	}
	k.entries = slices.Concat(k.entries, entries)
	k.head = last.Cursor
	k.gone = string(last.Data) == string(theEnd()[0].Data)
}

// refresh reads the history up to its head.
func (k *keeper) refresh() {
	k.Helper()
	for range attempts {
		head, err := k.store.Load(k.ctx, k.id)
		if errors.Is(err, replay.ErrNotFound) {
			k.gone = !k.head.IsZero()
			return
		}
		if err != nil {
			k.Fatalf("Load of %.40q by a follower: %v", k.id, err)
		}
		if later(k.head, head.Cursor) {
			k.Fatalf("Load of %.40q by a follower: the head is at %s, but it was told of %s", k.id, head.Cursor, k.head)
		}
		after := k.head
		if head.Cursor.Epoch != after.Epoch {
			after = replay.Cursor{Epoch: head.Cursor.Epoch}
		}
		entries, err := k.store.Read(k.ctx, k.id, after, all)
		switch {
		case errors.Is(err, replay.ErrNotFound), errors.Is(err, replay.ErrUnknownEpoch):
			continue // it was removed or started over meanwhile
		case err != nil:
			k.Fatalf("Read of %.40q by a follower, after %s: %v", k.id, after, err)
		}
		if len(entries) > 0 {
			k.take(entries)
		}
		return
	}
	k.Fatalf("%.40q is not the same twice in %d attempts to read it", k.id, attempts)
}

// later reports whether a is after b. Epochs of one id only grow.
func later(a, b replay.Cursor) bool {
	return a.Epoch > b.Epoch || a.Epoch == b.Epoch && a.Revision > b.Revision
}
