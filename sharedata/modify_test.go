package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func plusOne(_ context.Context, state json.RawMessage) (json.RawMessage, error) {
	c, err := sharedata.Decode[Counter](state)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Counter{c.Value + 1})
}

// No increment is lost, by Modify or by UpdateIf, with one manager or several.
func TestModify_Concurrent(t *testing.T) {
	memory := newMemory(t, nil)
	a, b := newManager(t, &sharedata.Options{Store: memory}), newManager(t, &sharedata.Options{Store: memory})
	createCounter(t, a, "counter", 0)
	var wait sync.WaitGroup
	for i := range 8 {
		m := []*sharedata.Manager{a, b}[i%2]
		wait.Go(func() {
			for range 50 {
				if _, err := m.Modify(t.Context(), "counter", plusOne); err != nil {
					t.Error(err)
				}
			}
		})
		wait.Go(func() {
			for done := 0; done < 50; {
				at, err := m.Get(t.Context(), "counter")
				if err != nil {
					t.Error(err)
					return
				}
				next, _ := plusOne(t.Context(), at.State)
				switch _, err := m.UpdateIf(t.Context(), "counter", at.Cursor, next); {
				case err == nil:
					done++
				case !errors.Is(err, sharedata.ErrMoved):
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	wantState(t, newManager(t, &sharedata.Options{Store: memory}), "counter", `{"value":800}`)
}

func TestModify_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCounter(t, nil, 3)
		at := mustGet(t, m, "counter")
		fails := func(err error) func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, err }
		}
		_, err := m.Modify(t.Context(), "counter", fails(errBroken))
		if _, ok := errors.AsType[*sharedata.FunctionError](err); !ok || !errors.Is(err, errBroken) {
			t.Errorf("an error: %v", err)
		}
		_, err = m.Modify(t.Context(), "counter", fails(sharedata.RejectWith("full", "no more", nil)))
		if r, ok := errors.AsType[*sharedata.Rejection](err); !ok || r.Code != "full" {
			t.Errorf("a rejection: %v", err)
		}
		_, err = m.Modify(t.Context(), "counter", func(context.Context, json.RawMessage) (json.RawMessage, error) { return json.RawMessage("{"), nil })
		if !errors.Is(err, sharedata.ErrInvalidState) {
			t.Errorf("no JSON: %v", err)
		}
		_, err = m.Modify(t.Context(), "other", plusOne)
		if !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("nothing there: %v", err)
		}
		for _, cursor := range []replay.Cursor{{}, at.Cursor.Next(), {Epoch: at.Cursor.Epoch + 1, Revision: 1}} {
			if _, err := m.UpdateIf(t.Context(), "counter", cursor, Counter{9}); !errors.Is(err, sharedata.ErrMoved) {
				t.Errorf("update if at %s: %v", cursor, err)
			}
		}
		if now := mustGet(t, m, "counter"); now.Cursor != at.Cursor {
			t.Errorf("moved to %s", now.Cursor)
		}
		if next, err := m.UpdateIf(t.Context(), "counter", at.Cursor, Counter{9}); err != nil || next.Cursor != at.Cursor.Next() {
			t.Errorf("%s, %v", next.Cursor, err)
		}
	})
}
