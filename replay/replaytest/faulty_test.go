package replaytest

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

// fault is something that a store may get wrong, and the checks that must detect
// it. It is planted in a Memory, in a harness of Memories, or in a Follower.
type fault struct {
	name     string
	store    func(s *faulty)
	harness  func(h *Harness)
	follower func(s *faultyFollower)
	caught   []string
}

// faulty is a Memory of which some methods are replaced.
type faulty struct {
	*replay.Memory
	onLoad   func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error)
	onAppend func(ctx context.Context, id string, batch replay.Batch) error
	onRead   func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error)
	onFind   func(ctx context.Context, id string, keys []string) ([]replay.Entry, error)
	onIDs    func(ctx context.Context) iter.Seq2[string, error]
	onClose  func() error
}

func newFaulty(t testing.TB, options *replay.MemoryOptions, plant func(s *faulty)) *faulty {
	m := newMemory(t, options)
	s := &faulty{m, m.Load, m.Append, m.Read, m.Find, m.IDs, m.Close}
	if plant != nil {
		plant(s)
	}
	return s
}

func (s *faulty) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	return s.onLoad(ctx, id, have)
}
func (s *faulty) Append(ctx context.Context, id string, batch replay.Batch) error {
	return s.onAppend(ctx, id, batch)
}
func (s *faulty) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	return s.onRead(ctx, id, after, limit)
}
func (s *faulty) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	return s.onFind(ctx, id, keys)
}
func (s *faulty) IDs(ctx context.Context) iter.Seq2[string, error] { return s.onIDs(ctx) }
func (s *faulty) Close() error                                     { return s.onClose() }

func newMemory(t testing.TB, options *replay.MemoryOptions) *replay.Memory {
	m, err := replay.NewMemory(options)
	if err != nil {
		t.Fatalf("NewMemory: %v", err)
	}
	return m
}

// sameStore is another handle on a store. It has no Close.
type sameStore struct{ replay.Store }

// harnessOf returns a harness of Memories with a fault.
func harnessOf(f fault) Harness {
	harness := Harness{
		Open: func(t testing.TB) replay.Store { return newFaulty(t, nil, f.store) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return newFaulty(t, &replay.MemoryOptions{MaxEntries: entries}, f.store)
		},
		OpenBoundedBy: map[string]func(testing.TB) replay.Store{
			"bytes": func(t testing.TB) replay.Store { return newFaulty(t, &replay.MemoryOptions{MaxBytes: 1}, f.store) },
			"age":   func(t testing.TB) replay.Store { return newFaulty(t, &replay.MemoryOptions{MaxAge: 1}, f.store) },
		},
		Second: func(_ testing.TB, store replay.Store) replay.Store { return sameStore{store} },
		Reopen: func(_ testing.TB, store replay.Store) replay.Store { return sameStore{store} },
		Seed:   1,
	}
	if f.harness != nil {
		f.harness(&harness)
	}
	return harness
}

// The functions below return faults: a store that does something else than its
// Memory.

// appends changes batches before they are appended.
func appends(change func(batch replay.Batch) replay.Batch) func(*faulty) {
	return func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			return s.Memory.Append(ctx, id, change(batch))
		}
	}
}

// appendsEntries changes entries before they are appended.
func appendsEntries(change func(*replay.Entry)) func(*faulty) {
	return appends(func(batch replay.Batch) replay.Batch {
		batch.Entries = slices.Clone(batch.Entries)
		for i := range batch.Entries {
			change(&batch.Entries[i])
		}
		return batch
	})
}

// appendsData changes data before they are appended.
func appendsData(change func([]byte) []byte) func(*faulty) {
	return appendsEntries(func(e *replay.Entry) { e.Data = change(e.Data) })
}

// refuses does something else with a batch that is refused.
func refuses(do func(s *faulty, batch replay.Batch, conflict *replay.ConflictError) error) func(*faulty) {
	return func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			if conflict := conflictOf(err); conflict != nil {
				return do(s, batch, conflict)
			}
			return err
		}
	}
}

// appendsFirst does something before a batch is appended, and refuses it if that
// fails.
func appendsFirst(do func(s *faulty, id string, batch replay.Batch) error) func(*faulty) {
	return func(s *faulty) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if err := do(s, id, batch); err != nil {
				return err
			}
			return s.Memory.Append(ctx, id, batch)
		}
	}
}

// loads changes the heads that are loaded.
func loads(change func(s *faulty, id string, head *replay.Head)) func(*faulty) {
	return func(s *faulty) {
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := s.Memory.Load(ctx, id, have)
			if err == nil {
				change(s, id, &head)
			}
			return head, err
		}
	}
}

// readsAt changes where entries are read.
func readsAt(change func(head, after replay.Cursor, limit int) (replay.Cursor, int)) func(*faulty) {
	return func(s *faulty) {
		s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
			if head, err := s.Memory.Load(ctx, id, replay.Cursor{}); err == nil {
				after, limit = change(head.Cursor, after, limit)
			}
			return s.Memory.Read(ctx, id, after, limit)
		}
	}
}

// reads changes the entries that are read.
func reads(change func([]replay.Entry) []replay.Entry) func(*faulty) {
	return func(s *faulty) {
		s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
			entries, err := s.Memory.Read(ctx, id, after, limit)
			return change(entries), err
		}
	}
}

// readsInstead returns something else where Read fails with an error.
func readsInstead(of error, instead func(s *faulty, id string, err error) ([]replay.Entry, error)) func(*faulty) {
	return func(s *faulty) {
		s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
			entries, err := s.Memory.Read(ctx, id, after, limit)
			if errors.Is(err, of) {
				return instead(s, id, err)
			}
			return entries, err
		}
	}
}

// finds changes what keys find.
func finds(change func(s *faulty, id string, keys []string, found []replay.Entry) []replay.Entry) func(*faulty) {
	return func(s *faulty) {
		s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
			found, err := s.Memory.Find(ctx, id, keys)
			return change(s, id, keys, found), err
		}
	}
}

// confusesIDs confuses ids that same maps to one.
func confusesIDs(same func(string) string) func(*faulty) {
	return func(s *faulty) {
		m := s.Memory
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			return m.Load(ctx, same(id), have)
		}
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error { return m.Append(ctx, same(id), batch) }
		s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
			return m.Read(ctx, same(id), after, limit)
		}
		s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
			return m.Find(ctx, same(id), keys)
		}
	}
}

// confusesKeys confuses keys that same maps to one.
func confusesKeys(same func(string) string) func(*faulty) {
	return func(s *faulty) {
		appendsEntries(func(e *replay.Entry) { e.Key = same(e.Key) })(s)
		s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
			keys = slices.Clone(keys)
			for i := range keys {
				keys[i] = same(keys[i])
			}
			return s.Memory.Find(ctx, id, keys)
		}
	}
}

// ranges changes how ids are yielded.
func ranges(change func(ids iter.Seq2[string, error], yield func(string, error) bool)) func(*faulty) {
	return func(s *faulty) {
		s.onIDs = func(ctx context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { change(s.Memory.IDs(ctx), yield) }
		}
	}
}

// append appends a batch that no test has asked for.
func (s *faulty) append(id string, batch replay.Batch) error {
	return s.Memory.Append(context.Background(), id, batch)
}

// head returns the head of a history; zero if there is none.
func (s *faulty) head(id string) replay.Head {
	head, _ := s.Memory.Load(context.Background(), id, replay.Cursor{})
	return head
}

// kept returns all that the store can still read of a history.
func (s *faulty) kept(id string) []replay.Entry {
	head := s.head(id)
	entries, _ := s.Memory.Read(context.Background(), id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: max(head.Oldest, 1) - 1}, all)
	return entries
}

// renumbered returns the batch as it would have to be at the head.
func renumbered(batch replay.Batch, head replay.Cursor) replay.Batch {
	batch.Expect, batch.Entries = head, follow(head, batch.Entries...).Entries
	return batch
}

func conflictOf(err error) *replay.ConflictError {
	conflict, _ := errors.AsType[*replay.ConflictError](err)
	return conflict
}

func isRestart(batch replay.Batch) bool { return batch.Starts() && !batch.Expect.IsZero() }

func untilNUL(name string) string {
	before, _, _ := strings.Cut(name, "\x00")
	return before
}

// yield lets other goroutines run, until the context ends or long enough.
func yield(ctx context.Context) {
	for i := 0; i < 1000 && ctx.Err() == nil; i++ {
		runtime.Gosched()
	}
}

// copied returns a new Memory with the histories of another, without the newest
// entries, as many as skip says, and without the tombstones.
func copied(t testing.TB, from replay.Store, skip int) *replay.Memory {
	to := newMemory(t, nil)
	for id := range from.IDs(t.Context()) {
		head, err := from.Load(t.Context(), id, replay.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		entries, err := from.Read(t.Context(), id, replay.Cursor{Epoch: head.Cursor.Epoch}, all)
		if err != nil {
			t.Fatal(err)
		}
		entries = entries[:len(entries)-skip]
		first := min(int(head.SnapshotRevision), len(entries))
		batches := []replay.Batch{{Entries: entries[:first], Snapshot: head.Snapshot, Meta: head.Meta}}
		if first < len(entries) {
			batches = append(batches, replay.Batch{Expect: batches[0].Last(), Entries: entries[first:], Meta: head.Meta})
		}
		for _, batch := range batches {
			if err := to.Append(t.Context(), id, batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}
