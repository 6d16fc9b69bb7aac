package sharedstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// Medium is what the processes share. It keeps every entry until Rollback or
// Flush loses some.
//
// It may be used in testing/synctest bubbles, and by any number of goroutines.
type Medium struct {
	// mu guards all below, and the mutable fields of its processes and their
	// follows. It is held briefly, and never while a notify function is called.
	mu           sync.Mutex
	memory       *replay.Memory
	committed    []commit        // in their order
	lost         map[string]bool // histories that Rollback or Flush lost whole
	rolledBack   map[string]bool // see MarkRolledBack
	processes    []*Process
	reservations map[string]reservation
}

// commit is a batch that was committed.
type commit struct {
	id    string
	batch replay.Batch
}

// New returns an empty medium.
func New() *Medium {
	return &Medium{
		memory:       newMemory(),
		lost:         make(map[string]bool),
		rolledBack:   make(map[string]bool),
		reservations: make(map[string]reservation),
	}
}

// newMemory returns a Memory that trims nothing.
func newMemory() *replay.Memory {
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		panic(fmt.Sprintf("sharedstore: %v", err)) // the options are valid
	}
	return memory
}

// Process returns the store of another process.
func (m *Medium) Process() *Process {
	p := &Process{medium: m, reachable: true, calls: make(map[string]int)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.processes = append(m.processes, p)
	return p
}

// Rollback takes back the newest batches of one history, until it ends at the
// position to or, where no batch ends there, before it. Their entries are lost,
// as by a fail-over or by restoring a backup, and no process is notified. The
// zero Cursor loses all that the id ever had.
func (m *Medium) Rollback(id string, to replay.Cursor) {
	m.lose(func(c commit) bool { return c.id == id && c.batch.Last().After(to) })
}

// Flush loses everything, as if the medium had been emptied. No process is
// notified.
func (m *Medium) Flush() {
	m.lose(func(commit) bool { return true })
}

// MarkRolledBack sets replay.Head.RestartAfter of a history: Append refuses its
// batches with replay.ConflictReplaced until one starts it over in a later epoch.
func (m *Medium) MarkRolledBack(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rolledBack[id] = true
}

// lose rebuilds the medium without some of its batches.
func (m *Medium) lose(lost func(commit) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.committed {
		m.lost[c.id] = !c.batch.Remove
	}
	m.committed = slices.DeleteFunc(m.committed, lost)
	m.memory = newMemory()
	for _, c := range m.committed {
		if err := m.memory.Append(context.Background(), c.id, c.batch); err != nil {
			panic(fmt.Sprintf("sharedstore: a committed batch cannot be committed again: %v", err))
		}
		delete(m.lost, c.id)
	}
}

// commitLocked appends a batch and announces it.
func (m *Medium) commitLocked(ctx context.Context, id string, batch replay.Batch) error {
	if m.rolledBack[id] && !batch.Starts() && batch.Validate() == nil && m.positionLocked(id).cursor == batch.Expect {
		return &replay.ConflictError{ID: id, Expected: batch.Expect, Reason: replay.ConflictReplaced, Head: batch.Expect}
	}
	if err := m.memory.Append(ctx, id, batch); err != nil {
		return err
	}
	m.committed = append(m.committed, commit{id, batch})
	delete(m.lost, id)
	delete(m.rolledBack, id)
	m.announceLocked(id, batch.Entries)
	return nil
}

// announceLocked notifies every process, except for those that the announcement
// does not get through to.
func (m *Medium) announceLocked(id string, entries []replay.Entry) {
	for _, p := range m.processes {
		if p.reachable && !p.losesAnnouncements {
			p.notifyLocked(id, entries)
		}
	}
}

// followedLocked reports whether a process that reaches the medium follows the
// history.
func (m *Medium) followedLocked(id string) bool {
	return slices.ContainsFunc(m.processes, func(p *Process) bool { return p.reachable && p.followsLocked(id) })
}

// positionLocked returns where a history stands.
func (m *Medium) positionLocked(id string) position {
	head, err := m.memory.Load(context.Background(), id, replay.Cursor{})
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		panic(fmt.Sprintf("sharedstore: %v", err)) // the Memory is not closed
	}
	return position{cursor: head.Cursor, meta: string(head.Meta), rolledBack: m.rolledBack[id]}
}

// position is where a history stands; zero where there is none.
type position struct {
	cursor     replay.Cursor
	meta       string
	rolledBack bool
}
