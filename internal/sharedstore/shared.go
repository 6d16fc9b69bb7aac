package sharedstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// Shared is a medium that several processes share, for tests: all in memory,
// without sockets and timers, and with the faults that a real one may have. A
// Process is the store of one of the processes. Everything is kept for ever.
//
// It may be used in testing/synctest bubbles, and by any number of goroutines.
type Shared struct {
	// mu guards all below, and every field of its processes and their follows.
	// It is held briefly, and never while foreign code is called.
	mu        sync.Mutex
	memory    *replay.Memory
	committed []commitment // in their order
	processes []*Process
	claims    map[string]claim
}

// commitment is a batch that was committed.
type commitment struct {
	id    string
	batch replay.Batch
}

// NewShared returns an empty medium.
func NewShared() *Shared {
	return &Shared{memory: boundless(), claims: make(map[string]claim)}
}

// boundless returns a Memory that forgets nothing.
func boundless() *replay.Memory {
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		panic(fmt.Sprintf("sharedstore: %v", err)) // the options are right
	}
	return memory
}

// Process returns the store of one more process.
func (s *Shared) Process() *Process {
	p := &Process{shared: s, reachable: true, calls: make(map[string]int)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p
}

// Rollback takes the newest batches back, of this id alone, until its history
// ends at the position to or, where no batch ends there, before it. What was
// committed is then lost, as by a failover or a backup that is put back, and
// nobody is told. The zero Cursor takes back all that the id ever had.
func (s *Shared) Rollback(id string, to replay.Cursor) {
	s.keep(func(c commitment) bool { return c.id != id || !later(c.batch.Last(), to) })
}

// Flush takes back everything, as if the medium had been emptied. Nobody is
// told.
func (s *Shared) Flush() {
	s.keep(func(commitment) bool { return false })
}

// keep rebuilds the medium from some of its batches.
func (s *Shared) keep(kept func(commitment) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = slices.DeleteFunc(s.committed, func(c commitment) bool { return !kept(c) })
	s.memory = boundless()
	for _, c := range s.committed {
		if err := s.memory.Append(context.Background(), c.id, c.batch); err != nil {
			panic(fmt.Sprintf("sharedstore: what was committed cannot be committed again: %v", err))
		}
	}
}

// later reports whether a is after b. Epochs of one id only grow.
func later(a, b replay.Cursor) bool {
	return a.Epoch > b.Epoch || a.Epoch == b.Epoch && a.Revision > b.Revision
}

// commitLocked appends a batch and announces it.
func (s *Shared) commitLocked(ctx context.Context, id string, batch replay.Batch) (err error) {
	if err = s.memory.Append(ctx, id, batch); err != nil {
		return err
	}
	s.committed = append(s.committed, commitment{id, batch})
	for _, p := range s.processes {
		if p.reachable && !p.losing {
			p.announceLocked(id, batch.Entries)
		}
	}
	return nil
}

// placeLocked says where a history is.
func (s *Shared) placeLocked(id string) place {
	head, err := s.memory.Load(context.Background(), id)
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		panic(fmt.Sprintf("sharedstore: %v", err)) // a Memory that is not closed
	}
	return place{cursor: head.Cursor, meta: string(head.Meta)}
}

// place is where a history is; zero where there is none.
type place struct {
	cursor replay.Cursor
	meta   string
}
