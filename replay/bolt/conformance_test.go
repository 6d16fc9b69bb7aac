package bolt_test

import (
	"context"
	"iter"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
	"github.com/safe-go/safe/replay/replaytest"
)

func TestConformance(t *testing.T) {
	open := func(t testing.TB, options bolt.Options) replay.Store {
		f := &file{path: filepath.Join(t.TempDir(), "histories.db"), options: options}
		f.open(t)
		return handle{shared{f}}
	}
	replaytest.Run(t, replaytest.Harness{
		Open: func(t testing.TB) replay.Store { return open(t, bolt.Options{}) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return open(t, bolt.Options{MaxEntries: entries})
		},
		OpenBoundedBy: map[string]func(testing.TB) replay.Store{
			"bytes": func(t testing.TB) replay.Store { return open(t, bolt.Options{MaxBytes: 1}) },
			"age":   func(t testing.TB) replay.Store { return open(t, bolt.Options{MaxAge: 1}) },
		},
		Reopen: func(t testing.TB, store replay.Store) replay.Store {
			f := fileOf(store)
			if err := f.store.Load().Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if err := bolt.Check(f.path); err != nil {
				t.Fatal(err)
			}
			f.open(t)
			return store
		},
		Second: func(_ testing.TB, store replay.Store) replay.Store { return shared{fileOf(store)} },
	})
}

// file is a file and the store that has it open, for all handles alike.
type file struct {
	path    string
	options bolt.Options
	store   atomic.Pointer[bolt.Store]
}

func (f *file) open(t testing.TB) {
	t.Helper()
	store, err := bolt.OpenUnsynced(f.path, &f.options)
	if err != nil {
		t.Fatal(err)
	}
	f.store.Store(store)
}

// handle is the first handle on a file, which closes it.
type handle struct{ shared }

func (h handle) Close() error { return h.file.store.Load().Close() }

// shared is a further handle on a file, which closes nothing.
type shared struct{ file *file }

func fileOf(store replay.Store) *file {
	if h, first := store.(handle); first {
		return h.file
	}
	return store.(shared).file
}

func (s shared) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	return s.file.store.Load().Load(ctx, id, have)
}

func (s shared) Append(ctx context.Context, id string, batch replay.Batch) error {
	return s.file.store.Load().Append(ctx, id, batch)
}

func (s shared) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	return s.file.store.Load().Read(ctx, id, after, limit)
}

func (s shared) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	return s.file.store.Load().Find(ctx, id, keys)
}

func (s shared) IDs(ctx context.Context) iter.Seq2[string, error] {
	return s.file.store.Load().IDs(ctx)
}
