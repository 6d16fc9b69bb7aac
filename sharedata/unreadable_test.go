package sharedata_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestUnreadableRecord_IsReported(t *testing.T) {
	for name, spoil := range map[string]func(e *replay.Entry){
		"no JSON":                      func(e *replay.Entry) { e.Data = []byte("garbage") },
		"nothing":                      func(e *replay.Entry) { e.Data = nil },
		"another position's":           func(e *replay.Entry) { e.Cursor.Revision++ },
		"a type that is not known yet": func(e *replay.Entry) { e.Data = []byte(strings.Replace(string(e.Data), "transaction", "migrated", 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, on := tampered(t, func(e *replay.Entry) {
				if e.Cursor.Revision == 2 {
					spoil(e)
				}
			})
			s.find = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
				entries, err := s.Store.Find(ctx, id, keys)
				for i := range entries {
					if *on {
						spoil(&entries[i])
					}
				}
				return entries, err
			}
			s.append = func(ctx context.Context, id string, batch replay.Batch) error {
				err := s.Store.Append(ctx, id, batch)
				var conflict *replay.ConflictError
				if errors.As(err, &conflict) {
					for i := range conflict.Known {
						spoil(&conflict.Known[i])
					}
				}
				return err
			}
			m := newCounter(t, &sharedata.Options{Store: s}, 0)
			if _, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil {
				t.Fatal(err)
			}
			*on = true
			got, err := revisions(t.Context(), m, "counter", replay.Cursor{})
			wantStoreError(t, err, "read", "counter", sharedata.ErrBadRecord)
			if len(got) > 1 {
				t.Errorf("it yields %v", got)
			}
			_, err = m.VerifyHistory(t.Context(), "counter")
			wantStoreError(t, err, "read", "counter", sharedata.ErrBadRecord)
			for _, function := range []string{"add", "broken"} { // found by the append, and by Find
				_, err = m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: function, Data: Add{1}, IdempotencyKey: "k"})
				wantStoreError(t, err, "find", "counter", sharedata.ErrBadRecord)
			}
			mustAdd(t, m, "counter", 1)
		})
	}
}

// Where entries of another process cannot be read, the observers get a Reset. The
// history is intact, so it is not restarted in a new epoch.
func TestUnreadableEntry_IsReset(t *testing.T) {
	for name, spoil := range map[string]func(e *replay.Entry){
		"no record": func(e *replay.Entry) { e.Data = []byte("garbage") },
		"no effect": func(e *replay.Entry) { e.Data = bytes.Replace(e.Data, []byte(`,"state":{"value":1}`), nil, 1) },
		"another effect": func(e *replay.Entry) {
			e.Data = bytes.Replace(e.Data, []byte(`"state":{"value":1}`), []byte(`"state":{"value":7}`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, on := tampered(t, spoil)
			a := newCounter(t, &sharedata.Options{Store: s.Store}, 0)
			b := newManager(t, &sharedata.Options{Store: s})
			s.append = func(ctx context.Context, id string, batch replay.Batch) error {
				err := s.Store.Append(ctx, id, batch)
				var conflict *replay.ConflictError
				if errors.As(err, &conflict) {
					conflict.Missed = nil // so that they have to be read
				}
				return err
			}
			if _, err := b.Ensure(t.Context(), "counter", nil, add); err != nil {
				t.Fatal(err)
			}
			var seen recorder
			before, _ := mustObserve(t, b, "counter", &seen)
			mustAdd(t, a, "counter", 1)
			*on = true
			mustAdd(t, b, "counter", 1)
			want := []string{`reset  -> {"value":1}`, `3 add {"by":1} accepted -> {"value":2}`}
			if got := seen.lines(); !slices.Equal(got, want) {
				t.Errorf("observed %q, want %q", got, want)
			}
			if after := mustGet(t, b, "counter"); after.Cursor.Epoch != before.Cursor.Epoch {
				t.Errorf("it went from %s to %s", before.Cursor, after.Cursor)
			}
		})
	}
}

func TestUnreadableMeta_IsReported(t *testing.T) {
	for name, meta := range map[string]string{"nothing": "", "no JSON": "{", "another form": `{"hash":5}`} {
		t.Run(name, func(t *testing.T) {
			s := &store{Store: newMemory(t, nil)}
			newCounter(t, &sharedata.Options{Store: s}, 0)
			s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
				head, err := s.Store.Load(ctx, id, have)
				head.Meta = []byte(meta)
				return head, err
			}
			m := newManager(t, &sharedata.Options{Store: s})
			_, err := m.Get(t.Context(), "counter")
			wantStoreError(t, err, "load", "counter", sharedata.ErrBadRecord)
			_, err = m.Propose(t.Context(), addition("counter", 1, ""))
			wantStoreError(t, err, "load", "counter", sharedata.ErrBadRecord)
		})
	}
}
