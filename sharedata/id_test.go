package sharedata_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestCreate_ControlCharacters(t *testing.T) {
	m := newManager(t, nil)
	for _, id := range []string{"a\x00", "\n", "a\tb", "\x1b[2J", "a\u0085b", "\x7f"} {
		if _, err := m.Create(t.Context(), id, 0); !errors.Is(err, sharedata.ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := m.Ensure(t.Context(), id, 0); !errors.Is(err, sharedata.ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{" ", "é/🙂", strings.Repeat("a", sharedata.MaxIDBytes)} {
		if _, err := m.Create(t.Context(), id, 0); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// renamingStore keeps the ShareData "a\tb" under another id, as if it had been
// created before control characters were refused.
type renamingStore struct{ replay.Store }

func stored(id string) string { return strings.ReplaceAll(id, "\t", "-") }

func (s renamingStore) Append(ctx context.Context, id string, b replay.Batch) error {
	return s.Store.Append(ctx, stored(id), b)
}

func (s renamingStore) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	return s.Store.Read(ctx, stored(id), after, limit)
}

func (s renamingStore) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	return s.Store.Load(ctx, stored(id), have)
}

func TestEnsure_StoredControlCharacters(t *testing.T) {
	store := renamingStore{newMemory(t, nil)}
	first := newManager(t, &sharedata.Options{Store: store})
	createCounter(t, first, "a-b", 3)
	m := newManager(t, &sharedata.Options{Store: store})
	if _, err := m.Create(t.Context(), "a\tb", Counter{}, add); !errors.Is(err, sharedata.ErrExists) {
		t.Errorf("create: %v", err)
	}
	if at, err := m.Ensure(t.Context(), "a\tb", Counter{}, add); err != nil || at.Cursor.Revision != 1 {
		t.Errorf("ensure: %+v, %v", at, err)
	}
}
