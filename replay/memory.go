package replay

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// Defaults of MemoryOptions.
const (
	defaultMaxEntries = 1000
	defaultMaxBytes   = 4 << 20
)

// MemoryOptions bound what a Memory keeps of each history. The oldest entries are
// trimmed as soon as one of the bounds is exceeded. The newest snapshot and the Meta
// are always kept and do not count. Entries after the snapshot count, but are never
// trimmed, so a history exceeds its bounds until there is a new snapshot. A negative
// value other than -1 is an error.
type MemoryOptions struct {
	// MaxEntries is the largest number of entries kept per history. 0 is the
	// default of 1000; -1 means no bound.
	MaxEntries int
	// MaxBytes is the largest number of bytes kept per history. Each entry counts
	// the length of its key and its data, and 128 more. An entry larger than the
	// bound is kept until there is a snapshot of the state after it. 0 is the
	// default of 4 MiB; -1 means no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended. 0, the default,
	// and -1 mean no bound. Entries are trimmed by age when the history is used:
	// a history that nobody uses keeps the memory of its old entries, but no
	// method ever returns one.
	MaxAge time.Duration
}

// Memory is the in-memory Store: what it keeps lives as long as the process. It
// is safe for any number of goroutines, calls for different ids run in parallel,
// and it has no goroutine and no timer of its own. When a history is restarted,
// Memory keeps nothing from before.
//
// An epoch of an id must be later than all that the id has had, also after its
// history was removed. A Memory remembers where the most recently removed histories
// ended, some thousands of them. For all that were removed before, it keeps one
// epoch, the latest, and refuses epochs up to that to every id that it does not
// remember: with ConflictRemoved, and a Head that may be another id's.
// NewEpoch(Head.Epoch) is accepted in any case.
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
	mu         sync.RWMutex
	closed     bool
	histories  map[string]*history
	tombstones tombstones
}

// retention is MemoryOptions with the defaults filled in.
type retention struct {
	MemoryOptions           // MaxAge 0 is no bound
	start         time.Time // when the store was opened
}

// now returns the time since start, which is what ages are measured by, and 0 if
// MaxAge has no bound.
func (r *retention) now() time.Duration {
	if r.MaxAge == 0 {
		return 0
	}
	return time.Since(r.start)
}

// NewMemory returns an empty store. Nil options are the defaults. It fails if an
// option is negative and not -1.
func NewMemory(options *MemoryOptions) (*Memory, error) {
	m := &Memory{seed: maphash.MakeSeed(), limits: retention{start: time.Now()}}
	limits := &m.limits
	if options != nil {
		limits.MemoryOptions = *options
	}
	if err := errors.Join(
		option.Fill("replay: MemoryOptions.MaxEntries", &limits.MaxEntries, defaultMaxEntries, math.MaxInt),
		option.Fill("replay: MemoryOptions.MaxBytes", &limits.MaxBytes, defaultMaxBytes, math.MaxInt),
		option.Fill("replay: MemoryOptions.MaxAge", &limits.MaxAge, 0, 0),
	); err != nil {
		return nil, err
	}
	for i := range m.shards {
		m.shards[i].histories = make(map[string]*history)
	}
	return m, nil
}

// Load implements Store.
func (m *Memory) Load(ctx context.Context, id string, have Cursor) (head Head, err error) {
	err = m.use(ctx, id, func(h *history) error {
		if head = h.headLocked(); head.CanContinue(have) {
			head.Snapshot = nil
		}
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
		s.tombstones.add(id, batch.Last())
		return nil
	}
	h.commitLocked(batch)
	return nil
}

// startLocked commits the first batch of a history, or returns the conflict. The
// shard is locked for writing unless the batch expects a head, and then there is
// always a conflict.
func (s *shard) startLocked(limits *retention, id string, batch Batch) error {
	last := s.tombstones.last(id)
	if !batch.Expect.IsZero() || batch.Last().Epoch <= last.Epoch {
		conflict := &ConflictError{ID: id, Expected: batch.Expect, Head: last, Reason: ConflictMoved}
		if !last.IsZero() {
			conflict.Reason = ConflictRemoved
		}
		return conflict
	}
	if batch.Remove {
		s.tombstones.add(id, batch.Last())
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
		s.closed, s.histories, s.tombstones = true, nil, tombstones{}
		s.mu.Unlock()
	}
	return nil
}

func (m *Memory) shard(id string) *shard {
	return &m.shards[maphash.String(m.seed, id)%uint64(len(m.shards))]
}

// use calls do with the history, locked and without the entries that are older
// than MaxAge.
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
