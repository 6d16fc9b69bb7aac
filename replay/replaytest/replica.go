package replaytest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// replica is a copy of a history that is kept up to date with the notifications
// of a Follower, and by reading where they ask for it, as a Manager does.
type replica struct {
	*handle
	id   string
	want *history // its batches are those that may be notified
	stop func()

	// entries are those of the epoch of head, up to head. removed says that the
	// history was removed, or is not found any more.
	entries []replay.Entry
	head    replay.Cursor
	removed bool
	// notified has the first positions of the batches that were notified whole.
	notified map[replay.Cursor]bool

	// mu guards all below.
	mu     sync.Mutex
	queue  [][]replay.Entry
	active int // calls of notify that are under way
	calls  int
	nils   int // calls with nil
	faults []string
}

// follower returns the store as a Follower or skips the test.
func (h *handle) follower() replay.Follower {
	h.Helper()
	follower, ok := h.store.(replay.Follower)
	if !ok {
		h.Skipf("%T is no replay.Follower", h.store)
	}
	return follower
}

// follow follows a history until the test ends.
func (h *handle) follow(id string, want *history) *replica {
	h.Helper()
	r := &replica{handle: h, id: id, want: want, notified: make(map[replay.Cursor]bool)}
	r.stop = h.follower().Follow(id, r.notify)
	h.Cleanup(r.stop)
	return r
}

// notify queues a notification.
func (r *replica) notify(entries []replay.Entry) {
	r.mu.Lock()
	r.calls++
	r.queue = append(r.queue, entries)
	if entries == nil {
		r.nils++
	} else if len(entries) == 0 {
		r.faults = append(r.faults, "notified of no entries, which is not nil")
	}
	if r.active++; r.active > 1 {
		r.faults = append(r.faults, "notified by two goroutines at once")
	}
	r.mu.Unlock()
	runtime.Gosched() // lets a second call start, if the store makes one

	r.mu.Lock()
	defer r.mu.Unlock()
	r.active--
}

// counts returns how often notify was called, and how often with nil.
func (r *replica) counts() (calls, nils int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls, r.nils
}

// next takes the oldest notification from the queue.
func (r *replica) next() (entries []replay.Entry, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		r.Errorf("follower of %.40q: %s", r.id, fault)
	}
	r.faults = nil
	if len(r.queue) == 0 {
		return nil, false
	}
	entries, r.queue = r.queue[0], r.queue[1:]
	return entries, true
}

// until applies notifications until done, and ends the test if that takes too
// long.
func (r *replica) until(what string, done func() bool) {
	r.Helper()
	r.eventually(fmt.Sprintf("a follower of %.40q at %s to be notified of %s", r.id, r.head, what), func() bool {
		for entries, more := r.next(); more; entries, more = r.next() {
			r.apply(entries)
		}
		return done()
	})
}

// untilNil waits until there were that many notifications with nil.
func (r *replica) untilNil(n int) {
	r.Helper()
	r.until("nil", func() bool {
		_, nils := r.counts()
		return nils >= n
	})
}

// untilCurrent waits until the replica has the whole history, or knows that it
// was removed.
func (r *replica) untilCurrent() {
	r.Helper()
	if !r.want.exists() {
		r.until("the removal", func() bool { return r.removed })
		return
	}
	r.until(r.want.head().String(), func() bool { return !r.removed && r.head == r.want.head() })
	r.sameEntries("what a follower has", r.entries, r.want.entries)
}

// apply appends what continues the replica, skips what it has already, and reads
// if something is missing.
func (r *replica) apply(entries []replay.Entry) {
	r.Helper()
	if len(entries) == 0 {
		r.refresh()
		return
	}
	first, last := entries[0].Cursor, entries[len(entries)-1].Cursor
	batch, found := r.want.batches[first]
	if !found {
		r.Errorf("follower of %.40q: notified of entries from %s, where no batch of this history begins", r.id, first)
		return
	}
	r.sameEntries("what a follower is notified of", entries, batch.Entries)
	r.notified[first] = true
	switch {
	case !last.After(r.head):
	case !r.removed && (first == r.head.Next() || first.Revision == 1 && first.Epoch > r.head.Epoch):
		r.take(entries)
	default: // also a start after a removal: it may be late, and older than that
		r.refresh()
	}
}

// take appends entries, or replaces those of another epoch.
func (r *replica) take(entries []replay.Entry) {
	last := entries[len(entries)-1]
	if last.Cursor.Epoch != r.head.Epoch {
		r.entries = nil
	}
	r.entries = slices.Concat(r.entries, entries)
	r.head = last.Cursor
	r.removed = string(last.Data) == string(theEnd()[0].Data)
}

// refresh reads the history up to its head.
func (r *replica) refresh() {
	r.Helper()
	for range attempts {
		head, err := r.store.Load(r.ctx, r.id, replay.Cursor{})
		if errors.Is(err, replay.ErrNotFound) {
			r.removed = !r.head.IsZero()
			return
		}
		if err != nil {
			r.Fatalf("Load of %.40q by a follower: %v", r.id, err)
		}
		if r.head.After(head.Cursor) {
			r.Fatalf("Load of %.40q by a follower: the head is at %s, but it was notified of %s", r.id, head.Cursor, r.head)
		}
		after := r.head
		if head.Cursor.Epoch != after.Epoch {
			after = replay.Cursor{Epoch: head.Cursor.Epoch}
		}
		entries, err := r.store.Read(r.ctx, r.id, after, all)
		switch {
		case errors.Is(err, replay.ErrNotFound), errors.Is(err, replay.ErrUnknownEpoch):
			continue // it was removed or restarted meanwhile
		case err != nil:
			r.Fatalf("Read of %.40q by a follower, after %s: %v", r.id, after, err)
		}
		if len(entries) > 0 {
			r.take(entries)
		}
		return
	}
	r.Fatalf("%.40q has changed during each of %d attempts to read it", r.id, attempts)
}
