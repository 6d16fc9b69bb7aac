package replay

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"sync"
	"time"
)

// Defaults of MemoryOptions.
const (
	defaultMaxEntries = 1000
	defaultMaxBytes   = 4 << 20
)

// MemoryOptions bound what a Memory keeps of each history. An entry is
// forgotten as soon as one of the bounds asks for it; the newest state and the
// Meta stay whatever the bounds.
type MemoryOptions struct {
	// MaxEntries is the largest number of entries kept per history. The
	// default is 1000; -1 means no bound.
	MaxEntries int
	// MaxBytes bounds the bytes kept per history: each entry counts the length
	// of its key, its data and its state, and 128 more. An entry larger than
	// the bound is not kept at all. The default is 4 MiB; -1 means no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended. The default
	// and -1 mean no bound. Age is looked at when the history is used, so a
	// history that nobody uses keeps the memory of its old entries, but never
	// returns one.
	MaxAge time.Duration
}

// Memory is the Store that needs nothing installed: it lives as long as the
// process. It is safe for any number of goroutines, calls for different ids
// proceed in parallel, and it runs no goroutine and no timer of its own. Of a
// history that starts over it keeps nothing from before.
//
// An epoch of an id must be later than all that the id has had, also after its
// history was removed. To know that of every id for ever would take memory
// without bound. So a Memory knows exactly where the most recently removed
// histories ended, some thousands of them. Of those before it knows the latest
// epoch only, and refuses that and earlier epochs to every id that it does not
// know better: with ConflictRemoved, and a Head that need not be the id's own. NewEpoch(Head.Epoch) is accepted in either case, and epochs
// from NewEpoch are hardly ever refused.
type Memory struct {
	limits retention
	seed   maphash.Seed
	shards [64]shard
}

var _ Store = (*Memory)(nil)

// shard holds the histories of the ids with one hash.
type shard struct {
	// mu is held for reading while a history is used, and for writing to add
	// or to remove one. Lock order: shard.mu, then history.mu.
	mu        sync.RWMutex
	closed    bool
	histories map[string]*history
	endings   endings
}

// retention is MemoryOptions with the defaults filled in and no special values
// but maxAge 0, which is no bound.
type retention struct {
	maxEntries int
	maxBytes   int
	maxAge     time.Duration
	start      time.Time
}

// now is the time by which ages are told. It costs nothing where none is.
func (r *retention) now() time.Duration {
	if r.maxAge == 0 {
		return 0
	}
	return time.Since(r.start)
}

// NewMemory returns an empty store. Nil options are the defaults. It fails
// when an option is negative and not -1.
func NewMemory(options *MemoryOptions) (*Memory, error) {
	if options == nil {
		options = &MemoryOptions{}
	}
	m := &Memory{seed: maphash.MakeSeed(), limits: retention{start: time.Now()}}
	var err error
	if m.limits.maxEntries, err = bound("MaxEntries", options.MaxEntries, defaultMaxEntries); err != nil {
		return nil, err
	}
	if m.limits.maxBytes, err = bound("MaxBytes", options.MaxBytes, defaultMaxBytes); err != nil {
		return nil, err
	}
	if options.MaxAge < -1 {
		return nil, fmt.Errorf("replay: MaxAge is %v; use a positive duration, or 0 or -1 for no bound", options.MaxAge)
	}
	m.limits.maxAge = max(options.MaxAge, 0)
	for i := range m.shards {
		m.shards[i].histories = make(map[string]*history)
	}
	return m, nil
}

func bound(name string, value, byDefault int) (int, error) {
	switch {
	case value == 0:
		return byDefault, nil
	case value == -1:
		return math.MaxInt, nil
	case value < -1:
		return 0, fmt.Errorf("replay: %s is %d; use a positive number, 0 for the default of %d, or -1 for no bound",
			name, value, byDefault)
	}
	return value, nil
}

// Load implements Store.
func (m *Memory) Load(ctx context.Context, id string) (head Head, err error) {
	err = m.use(ctx, id, func(h *history) error {
		head = h.headLocked()
		return nil
	})
	return head, err
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, id string, after Cursor, limit int) (entries []Entry, err error) {
	err = m.use(ctx, id, func(h *history) error {
		if err := h.headLocked().Check(id, after); err != nil {
			return err
		}
		entries = h.afterLocked(after.Revision, limit)
		return nil
	})
	return entries, err
}

// Find implements Store.
func (m *Memory) Find(ctx context.Context, id string, keys []string) (entries []Entry, err error) {
	err = m.use(ctx, id, func(h *history) error {
		entries = h.findLocked(keys)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return entries, err
}

// Append implements Store.
func (m *Memory) Append(ctx context.Context, id string, batch Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := batch.Validate(); err != nil {
		return err
	}
	s := m.shard(id)
	if batch.Expect.IsZero() || batch.Remove {
		s.mu.Lock()
		defer s.mu.Unlock()
	} else {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	if s.closed {
		return ErrClosed
	}
	h := s.histories[id]
	if h == nil {
		return s.startLocked(&m.limits, id, batch)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	if conflict := h.conflictLocked(id, batch); conflict != nil {
		return conflict
	}
	if batch.Remove {
		delete(s.histories, id)
		s.endings.add(id, batch.Last())
		return nil
	}
	h.commitLocked(batch)
	return nil
}

// startLocked commits the first batch of a history. The shard is locked for
// writing if the batch may be one.
func (s *shard) startLocked(limits *retention, id string, batch Batch) error {
	last := s.endings.last(id)
	if !batch.Expect.IsZero() || batch.Last().Epoch <= last.Epoch {
		conflict := &ConflictError{ID: id, Expected: batch.Expect, Head: last, Reason: ConflictMoved}
		if !last.IsZero() {
			conflict.Reason = ConflictRemoved
		}
		return conflict
	}
	if batch.Remove {
		s.endings.add(id, batch.Last())
		return nil
	}
	h := &history{limits: limits}
	h.commitLocked(batch) // nobody else knows h yet
	s.histories[id] = h
	return nil
}

// IDs implements Store. No lock is held while it yields, so the loop may use
// the store.
func (m *Memory) IDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := range m.shards {
			ids, err := m.shards[i].ids()
			if err != nil {
				yield("", err)
				return
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					yield("", err)
					return
				}
				if !yield(id, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield("", err)
		}
	}
}

func (s *shard) ids() ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	ids := make([]string, 0, len(s.histories))
	for id := range s.histories {
		ids = append(ids, id)
	}
	return ids, nil
}

// Close forgets everything. Calls that begin afterwards fail with ErrClosed.
// It always returns nil and may be called again.
func (m *Memory) Close() error {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.closed, s.histories, s.endings = true, nil, endings{}
		s.mu.Unlock()
	}
	return nil
}

func (m *Memory) shard(id string) *shard {
	return &m.shards[maphash.String(m.seed, id)%uint64(len(m.shards))]
}

// use calls do with the history, locked and without the entries that are too
// old by now.
func (m *Memory) use(ctx context.Context, id string, do func(*history) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := m.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	h := s.histories[id]
	if h == nil {
		return ErrNotFound
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireLocked()
	return do(h)
}
