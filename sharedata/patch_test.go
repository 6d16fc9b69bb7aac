package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// items is a state of n members of about 100 bytes each: item-0, item-1, …
func items(n int) map[string]any {
	state := make(map[string]any, n)
	for i := range n {
		state[fmt.Sprint("item-", i)] = map[string]any{"n": i, "text": strings.Repeat("abcdefgh", 10)}
	}
	return state
}

type rename struct {
	Item string `json:"item"`
	Text string `json:"text"`
}

// renameItem changes one text of items.
var renameItem = sharedata.NewPatchFunction("rename", func(_ context.Context, state sharedata.Document, in rename) (sharedata.Patch, error) {
	var patch sharedata.Patch
	var n int
	found, err := state.Decode(sharedata.Path(in.Item, "n"), &n)
	switch {
	case err != nil:
		return patch, err
	case !found:
		return patch, sharedata.Rejectf("there is no item %q", in.Item)
	}
	patch.Replace(sharedata.Path(in.Item, "text"), in.Text)
	return patch, nil
})

func TestPatchFunction(t *testing.T) {
	m := newManager(t, nil)
	if _, err := m.Create(t.Context(), "x", items(100), renameItem); err != nil {
		t.Fatal(err)
	}
	propose := func(data any) sharedata.Verdict {
		t.Helper()
		verdict, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "rename", Data: data})
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	if v := propose(rename{"item-7", "<new>"}); !v.Accepted {
		t.Error(v.Reason)
	}
	if v := propose(rename{"item-100", "new"}); v.Accepted || v.Reason != `there is no item "item-100"` {
		t.Errorf("%+v", v)
	}
	entries := wholeHistory(t, m, "x")
	if want := `[{"op":"replace","path":"/item-7/text","value":"\u003cnew\u003e"}]`; string(entries[1].Patch) != want || entries[1].NewState != nil {
		t.Errorf("the patch is %s, want %s", entries[1].Patch, want)
	}
	if e := entries[2]; e.Patch != nil || e.NewState != nil || e.StateHash != entries[1].StateHash {
		t.Errorf("a rejection has the patch %s", e.Patch)
	}
	state := mustGet(t, m, "x")
	got, err := sharedata.Decode[map[string]struct{ Text string }](state.State)
	if err != nil || got["item-7"].Text != "<new>" || len(got) != 100 || state.StateHash != entries[2].StateHash {
		t.Errorf("%d items, %q, %v", len(got), got["item-7"].Text, err)
	}
}

func TestPatchFunction_Refused(t *testing.T) {
	deep := strings.Repeat("[", sharedata.MaxDepth) + strings.Repeat("]", sharedata.MaxDepth)
	for name, patch := range map[string]func() (p sharedata.Patch){
		"a missing target":        func() (p sharedata.Patch) { p.Remove("/b"); return p },
		"a value that is no JSON": func() (p sharedata.Patch) { p.Replace("/a", func() {}); return p },
		"too deep":                func() (p sharedata.Patch) { p.Replace("/a", rawJSON(deep)); return p },
		"a raw value":             func() sharedata.Patch { return sharedata.RawPatch(json.RawMessage(`1`)) },
		"a raw bracket":           func() sharedata.Patch { return sharedata.RawPatch(json.RawMessage(` ]`)) },
		"a raw syntax error":      func() sharedata.Patch { return sharedata.RawPatch(json.RawMessage(`[{"op":"remove","path":"/a"},]`)) },
		"another operation": func() sharedata.Patch {
			return sharedata.RawPatch(json.RawMessage(`[{"op":"move","from":"/a","path":"/b"}]`))
		},
		"two of one name": func() sharedata.Patch {
			return sharedata.RawPatch(json.RawMessage(`[{"op":"add","path":"/b","value":{"c":1,"c":2}}]`))
		},
	} {
		f := sharedata.NewPatchFunction("f", func(context.Context, sharedata.Document, any) (sharedata.Patch, error) { return patch(), nil })
		m, _, err := run(t, rawJSON(`{"a":1}`), f, nil)
		if !errors.Is(err, sharedata.ErrFunctionFailed) || !errors.Is(err, sharedata.ErrInvalidState) {
			t.Errorf("%s: %v", name, err)
		}
		wantState(t, m, "x", `{"a":1}`)
	}
}

func TestPatch_Operations(t *testing.T) {
	f := sharedata.NewPatchFunction("f", func(_ context.Context, state sharedata.Document, _ any) (p sharedata.Patch, err error) {
		p.Add("/list/0", "first")
		p.Add("/list/-", state.Raw())
		p.Add(sharedata.Path("a/b~c"), true)
		p.Remove("/list/1")
		return p, nil
	})
	got, err := f.Run(t.Context(), rawJSON(`{"list":[1]}`), nil)
	if want := `{"list":["first",{"list":[1]}],"a/b~c":true}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	raw := sharedata.NewPatchFunction("f", func(context.Context, sharedata.Document, any) (sharedata.Patch, error) {
		p := sharedata.RawPatch(json.RawMessage(` [ {"op":"remove", "path":"/a"} ] `))
		p.Add("/b", 2)
		return p, nil
	})
	if got, err := raw.Run(t.Context(), rawJSON(`{"a":1}`), nil); err != nil || string(got) != `{"b":2}` {
		t.Errorf("%s, %v", got, err)
	}
}

// A Patch that is kept may be returned and copied at any time, by many at once, and what
// is added to one of them changes neither the others nor what is recorded.
func TestPatch_Shared(t *testing.T) {
	var base sharedata.Patch
	base.Add("/a", 1)
	m := newManager(t, nil)
	returned := sharedata.NewPatchFunction("base", func(context.Context, sharedata.Document, any) (sharedata.Patch, error) { return base, nil })
	extended := sharedata.NewPatchFunction("more", func(_ context.Context, _ sharedata.Document, in string) (sharedata.Patch, error) {
		more := base
		more.Add("/b", in)
		return more, nil
	})
	var wait sync.WaitGroup
	for i := range 8 {
		id := fmt.Sprint(i)
		if _, err := m.Create(t.Context(), id, items(10), returned, extended); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range 50 {
				for _, f := range []string{"base", "more"} {
					if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: f, Data: id}); err != nil {
						t.Error(err)
					}
				}
			}
			state, err := m.Get(t.Context(), id)
			if got, _ := sharedata.Decode[map[string]any](state.State); err != nil || got["b"] != id {
				t.Errorf("%s has %v, %v", id, got["b"], err)
			}
		})
	}
	wait.Wait()
	base.Add("/c", 2)
	for i := range 8 {
		if _, err := m.VerifyHistory(t.Context(), fmt.Sprint(i)); err != nil {
			t.Error(err)
		}
	}
}

// What a function adds to its Patch later does not change the entry that observers share.
func TestPatch_ExtendedLater(t *testing.T) {
	var kept sharedata.Patch
	kept.Replace("/a", 1)
	f := sharedata.NewPatchFunction("f", func(context.Context, sharedata.Document, any) (sharedata.Patch, error) { return kept, nil })
	m := newManager(t, nil)
	if _, err := m.Create(t.Context(), "x", rawJSON(`{"a":0,"b":"`+strings.Repeat("b", 100)+`"}`), f); err != nil {
		t.Fatal(err)
	}
	var observed []sharedata.Event
	_, stop, err := m.Observe(t.Context(), "x", sharedata.ObserverFunc(func(events []sharedata.Event) { observed = append(observed, events...) }))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "f"}); err != nil {
		t.Fatal(err)
	}
	kept.Remove("/b")
	if want := `[{"op":"replace","path":"/a","value":1}]`; len(observed) != 1 || string(observed[0].Patch) != want {
		t.Errorf("%s, want %s", observed[0].Patch, want)
	}
}

// A function that leaves the state as it is, in other words too, records that.
func TestTransaction_NoChange(t *testing.T) {
	same := sharedata.NewRawFunction("same", func(_ context.Context, _, data json.RawMessage) (json.RawMessage, error) { return data, nil })
	m, verdict, err := run(t, rawJSON(`{"a":1,"b":2}`), same, rawJSON(`{ "b":2, "a":1 }`))
	if err != nil || !verdict.Accepted {
		t.Fatal(verdict, err)
	}
	wantState(t, m, "x", `{"a":1,"b":2}`)
	if e := wholeHistory(t, m, "x")[1]; string(e.Patch) != "[]" || e.NewState != nil {
		t.Errorf("patch %s, state %s", e.Patch, e.NewState)
	}
}

// A small change to a large state costs what changed: in the record, and in snapshots.
func TestSnapshot_Seldom(t *testing.T) {
	var snapshots, bytes int
	s := &store{Store: newMemory(t, nil)}
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		if batch.Snapshot != nil {
			snapshots++
		}
		for _, e := range batch.Entries {
			bytes += len(e.Data)
		}
		return s.Store.Append(ctx, id, batch)
	}
	m := newManager(t, &sharedata.Options{Store: s})
	if _, err := m.Create(t.Context(), "x", items(500), renameItem); err != nil {
		t.Fatal(err)
	}
	state := len(mustGet(t, m, "x").State)
	snapshots, bytes = 0, 0
	for i := range 300 {
		data := rename{fmt.Sprint("item-", i), fmt.Sprint("text ", i)}
		if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "rename", Data: data}); err != nil || !v.Accepted {
			t.Fatal(v, err)
		}
	}
	// A snapshot comes when the records have grown as large as the state, which shrinks.
	if least, most := bytes/state, bytes/(state/2)+1; snapshots < least || snapshots > most {
		t.Errorf("%d snapshots of %d bytes for records of %d bytes, want %d to %d", snapshots, state, bytes, least, most)
	}
	want := mustGet(t, m, "x")
	other := newManager(t, &sharedata.Options{Store: s})
	if got := mustGet(t, other, "x"); string(got.State) != string(want.State) || got.StateHash != want.StateHash || got.Cursor != want.Cursor {
		t.Errorf("loaded %s with another state", got.Cursor)
	}
}

// Each call of the store may take Options.StoreTimeout, however many a load needs.
func TestLoad_TimeoutOfEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{Store: newMemory(t, nil)}
		m := newManager(t, &sharedata.Options{Store: s})
		if _, err := m.Create(t.Context(), "x", items(3000), renameItem); err != nil {
			t.Fatal(err)
		}
		for i := range 600 {
			data := rename{"item-0", fmt.Sprint(i)}
			if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "rename", Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		want, calls := mustGet(t, m, "x"), 0
		s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
			calls++
			select {
			case <-time.After(600 * time.Millisecond):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return s.Store.Read(ctx, id, after, limit)
		}
		other := newManager(t, &sharedata.Options{Store: s, StoreTimeout: time.Second})
		got, err := other.Get(t.Context(), "x")
		if err != nil || got.StateHash != want.StateHash || calls != 3 {
			t.Errorf("%s after %d calls, %v", got.Cursor, calls, err)
		}
	})
}
