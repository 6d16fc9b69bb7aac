package replaytest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

// faulty is a Memory of which some methods are replaced.
type faulty struct {
	*replay.Memory
	onLoad   func(ctx context.Context, id string) (replay.Head, error)
	onAppend func(ctx context.Context, id string, batch replay.Batch) error
	onRead   func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error)
	onFind   func(ctx context.Context, id string, keys []string) ([]replay.Entry, error)
	onIDs    func(ctx context.Context) iter.Seq2[string, error]
	onClose  func() error
}

func (s *faulty) Load(ctx context.Context, id string) (replay.Head, error) {
	if s.onLoad != nil {
		return s.onLoad(ctx, id)
	}
	return s.Memory.Load(ctx, id)
}

func (s *faulty) Append(ctx context.Context, id string, batch replay.Batch) error {
	if s.onAppend != nil {
		return s.onAppend(ctx, id, batch)
	}
	return s.Memory.Append(ctx, id, batch)
}

func (s *faulty) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	if s.onRead != nil {
		return s.onRead(ctx, id, after, limit)
	}
	return s.Memory.Read(ctx, id, after, limit)
}

func (s *faulty) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	if s.onFind != nil {
		return s.onFind(ctx, id, keys)
	}
	return s.Memory.Find(ctx, id, keys)
}

func (s *faulty) IDs(ctx context.Context) iter.Seq2[string, error] {
	if s.onIDs != nil {
		return s.onIDs(ctx)
	}
	return s.Memory.IDs(ctx)
}

func (s *faulty) Close() error {
	if s.onClose != nil {
		return s.onClose()
	}
	return s.Memory.Close()
}

// handle is a further handle on a store. Closing it closes nothing else.
type handle struct{ replay.Store }

// harnessOf returns a harness of Memories with a fault.
func harnessOf(f fault) Harness {
	open := func(t testing.TB, options *replay.MemoryOptions) replay.Store {
		m := mustMemory(t, options)
		s := &faulty{Memory: m}
		if f.store != nil {
			f.store(s, m)
		}
		return s
	}
	harness := Harness{
		Open: func(t testing.TB) replay.Store { return open(t, nil) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return open(t, &replay.MemoryOptions{MaxEntries: entries})
		},
		Second: func(_ testing.TB, store replay.Store) replay.Store { return handle{store} },
		Reopen: func(_ testing.TB, store replay.Store) replay.Store { return handle{store} },
		Seed:   1,
	}
	if f.harness != nil {
		f.harness(&harness)
	}
	return harness
}

// fault is something that a store may get wrong, and the checks that must see
// it. It sits in a Memory, in a harness of Memories, or in a Process.
type fault struct {
	name      string
	store     func(s *faulty, m *replay.Memory)
	harness   func(h *Harness)
	following func(p *tattler)
	caught    []string
}

// renumbered returns the batch as it would have to be at the head.
func renumbered(batch replay.Batch, head replay.Cursor) replay.Batch {
	b := follow(head, batch.Entries...)
	b.ExpectMeta, b.NewKeys, b.Meta, b.Remove = batch.ExpectMeta, batch.NewKeys, batch.Meta, batch.Remove
	return b
}

// edited returns a copy of the batch with its entries changed.
func edited(batch replay.Batch, edit func(*replay.Entry)) replay.Batch {
	batch.Entries = slices.Clone(batch.Entries)
	for i := range batch.Entries {
		edit(&batch.Entries[i])
	}
	return batch
}

func conflictOf(err error) *replay.ConflictError {
	conflict, _ := errors.AsType[*replay.ConflictError](err)
	return conflict
}

// alias makes the store confuse names that are alike.
func alias(s *faulty, m *replay.Memory, same func(string) string) {
	s.onLoad = func(ctx context.Context, id string) (replay.Head, error) { return m.Load(ctx, same(id)) }
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		return m.Append(ctx, same(id), batch)
	}
	s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		return m.Read(ctx, same(id), after, limit)
	}
	s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
		return m.Find(ctx, same(id), keys)
	}
}

// aliasKeys makes the store confuse keys that are alike.
func aliasKeys(s *faulty, m *replay.Memory, same func(string) string) {
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		return m.Append(ctx, id, edited(batch, func(e *replay.Entry) { e.Key = same(e.Key) }))
	}
	s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
		sames := make([]string, len(keys))
		for i, key := range keys {
			sames[i] = same(key)
		}
		return m.Find(ctx, id, sames)
	}
}

// changeData makes the store change data on its way in.
func changeData(s *faulty, m *replay.Memory, change func([]byte) []byte) {
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		return m.Append(ctx, id, edited(batch, func(e *replay.Entry) { e.Data = change(e.Data) }))
	}
}

// reads makes the store change what it reads.
func reads(s *faulty, m *replay.Memory, change func([]replay.Entry) []replay.Entry) {
	s.onRead = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		entries, err := m.Read(ctx, id, after, limit)
		return change(entries), err
	}
}

// copied returns a new Memory with the histories of another, but without its
// knowledge of removed ones.
func copied(t testing.TB, from replay.Store) *replay.Memory {
	to := mustMemory(t, nil)
	for id := range from.IDs(t.Context()) {
		head, err := from.Load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := from.Read(t.Context(), id, replay.Cursor{Epoch: head.Cursor.Epoch}, all)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Append(t.Context(), id, replay.Batch{Entries: entries, Meta: head.Meta}); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func untilNUL(name string) string {
	before, _, _ := strings.Cut(name, "\x00")
	return before
}

func mustMemory(t testing.TB, options *replay.MemoryOptions) *replay.Memory {
	m, err := replay.NewMemory(options)
	if err != nil {
		t.Fatalf("NewMemory: %v", err)
	}
	return m
}

// keptEntries returns all that a store can still read of a history.
func keptEntries(ctx context.Context, store replay.Store, id string) []replay.Entry {
	head, err := store.Load(ctx, id)
	if err != nil {
		return nil
	}
	entries, _ := store.Read(ctx, id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.Oldest - 1}, all)
	return entries
}
