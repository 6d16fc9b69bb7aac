package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// run creates a ShareData "x" with the state and the function, and proposes the
// data to it.
func run(t *testing.T, state any, f *sharedata.Function, data any) (*sharedata.Manager, sharedata.Verdict, error) {
	t.Helper()
	m := newManager(t, nil)
	if _, err := m.Create(t.Context(), "x", state, f); err != nil {
		t.Fatal(err)
	}
	verdict, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: f.ID(), Data: data})
	return m, verdict, err
}

// The proposed data keeps its bytes; states have the form in which encoding/json writes
// raw JSON, and no other change.
func TestRawFunction_Bytes(t *testing.T) {
	const state, data = `{"a" : 1.0, "<" : "A\u0041"}`, `[ 1e2 , "\/" ]`
	f := sharedata.NewRawFunction("f", func(_ context.Context, gotState, gotData json.RawMessage) (json.RawMessage, error) {
		if string(gotState) != `{"a":1.0,"\u003c":"A\u0041"}` || string(gotData) != data {
			t.Errorf("got %s and %s", gotState, gotData)
		}
		return json.RawMessage(`{"b" : "&"}`), nil
	})
	m, verdict, err := run(t, rawJSON(state), f, rawJSON(data))
	if err != nil || !verdict.Accepted {
		t.Fatal(verdict, err)
	}
	wantState(t, m, "x", `{"b":"\u0026"}`)
	wantHistory(t, m, "x", "1 created", `2 f [1e2,"\/"] accepted`)
}

func TestFunction_Concurrent(t *testing.T) {
	f := add.WithInputSchema(`{"required": ["by"], "properties": {"by": {"type": "integer", "minimum": -5}}}`)
	managers := []*sharedata.Manager{newManager(t, nil), newManager(t, nil)}
	var wait sync.WaitGroup
	for i := range 8 {
		m, id := managers[i%2], fmt.Sprint("counter-", i)
		if _, err := m.Create(t.Context(), id, Counter{}, f); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range 30 {
				mustAdd(t, m, id, 1)
				_, err := m.Propose(context.Background(), addition(id, -6, ""))
				var invalid *sharedata.InputError
				if !errors.As(err, &invalid) || invalid.Pointer != "/by" {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	wait.Wait()
}

func TestSchema_DoesNotCompile(t *testing.T) {
	plain := sharedata.NewRawFunction("f", func(_ context.Context, s, _ json.RawMessage) (json.RawMessage, error) { return s, nil })
	for _, test := range []struct{ name, schema string }{
		{"no JSON", `{`},
		{"nothing", ``},
		{"two documents", `{} {}`},
		{"no schema", `{"type": "whole"}`},
		{"a reference to nowhere", `{"$ref": "#/$defs/none"}`},
		{"a reference to the web", `{"$ref": "http://127.0.0.1:1/schema.json"}`},
		{"a reference to a file", `{"properties": {"a": {"$ref": "file:///etc/passwd"}}}`},
		{"a relative reference", `{"$ref": "other.json"}`},
		{"a dialect that would have to be loaded", `{"$schema": "https://example.com/dialect"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := plain.WithInputSchema(test.schema)
			kind := sharedata.NewKind("kind", f)
			if _, err := sharedata.NewManager(&sharedata.Options{Kinds: []sharedata.Kind{kind}}); !errors.Is(err, sharedata.ErrInvalidFunction) {
				t.Errorf("NewManager: %v", err)
			}
			m := newManager(t, nil)
			if _, err := m.Create(t.Context(), "x", 0, f); !errors.Is(err, sharedata.ErrInvalidFunction) {
				t.Errorf("Create: %v", err)
			}
			if _, err := m.Get(t.Context(), "x"); !errors.Is(err, sharedata.ErrUnknownShareData) {
				t.Errorf("it was created: %v", err)
			}
			if _, err := m.Create(t.Context(), "x", 0, plain); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Ensure(t.Context(), "x", 0, f); !errors.Is(err, sharedata.ErrInvalidFunction) {
				t.Errorf("Ensure: %v", err)
			}
			if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", Function: f}); !errors.Is(err, sharedata.ErrInvalidFunction) {
				t.Errorf("Propose: %v", err)
			}
			if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "f"}); err != nil || !v.Accepted {
				t.Errorf("the function registered before: %+v, %v", v, err)
			}
		})
	}
}

func TestFunction_Registration(t *testing.T) {
	nop := func(_ context.Context, s, _ any) (any, error) { return s, nil }
	named := func(id string) *sharedata.Function { return sharedata.NewFunction(id, nop) }
	for _, test := range []struct {
		name      string
		functions []*sharedata.Function
		ok        bool
	}{
		{"two of one id", []*sharedata.Function{named("a"), named("b"), named("a")}, false},
		{"nil", []*sharedata.Function{named("a"), nil}, false},
		{"a timeout below -1", []*sharedata.Function{named("a").WithTimeout(-2)}, false},
		{"a timeout below -1 and then a good schema", []*sharedata.Function{named("a").WithTimeout(-2).WithInputSchema(`{}`)}, false},
		{"a bad schema and then a good timeout", []*sharedata.Function{named("a").WithInputSchema(`{`).WithTimeout(1)}, false},
		{"a bad schema, put right", []*sharedata.Function{named("a").WithInputSchema(`{`).WithInputSchema(`{}`)}, true},
		{"a bad timeout, put right", []*sharedata.Function{named("a").WithTimeout(-2).WithTimeout(2)}, true},
		{"an id that is not UTF-8", []*sharedata.Function{named("a\xff")}, false},
		{"several internal ones", []*sharedata.Function{named(""), named(""), named("a")}, true},
		{"an id of any UTF-8", []*sharedata.Function{named("\u2028 🙂")}, true},
		{"an id with a control character", []*sharedata.Function{named("a\x00")}, false},
		{"the longest id", []*sharedata.Function{named(strings.Repeat("a", sharedata.MaxIDBytes))}, true},
		{"an id that is too long", []*sharedata.Function{named(strings.Repeat("a", sharedata.MaxIDBytes+1))}, false},
		{"none", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newManager(t, nil).Create(t.Context(), "x", 0, test.functions...)
			if test.ok && err != nil || !test.ok && !errors.Is(err, sharedata.ErrInvalidFunction) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFunction_ContextAndCaller(t *testing.T) {
	type key struct{}
	var value any
	var caller *sharedata.Caller
	f := sharedata.NewFunction("f", func(ctx context.Context, s int, _ any) (int, error) {
		value, caller = ctx.Value(key{}), sharedata.CallerFrom(ctx)
		return s, nil
	})
	m := newManager(t, nil)
	if _, err := m.Create(t.Context(), "x", 0, f); err != nil {
		t.Fatal(err)
	}
	ann := &sharedata.Caller{Subject: "ann", Claims: rawJSON(`{"role" : "admin"}`), Value: 5}
	bob := &sharedata.Caller{Subject: "bob"}
	ctx := context.WithValue(t.Context(), key{}, "v")
	for _, test := range []struct {
		name     string
		ctx      context.Context
		proposal *sharedata.Caller
		want     *sharedata.Caller
	}{
		{"none", ctx, nil, nil},
		{"the context's", sharedata.WithCaller(ctx, ann), nil, ann},
		{"the proposal's", ctx, bob, bob},
		{"the proposal's before the context's", sharedata.WithCaller(ctx, ann), bob, bob},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict, err := m.Propose(test.ctx, sharedata.Proposal{ShareDataID: "x", FunctionID: "f", Caller: test.proposal})
			if err != nil || value != "v" || caller != test.want {
				t.Errorf("%v, value %v, caller %+v", err, value, caller)
			}
			for e, err := range m.History(t.Context(), "x", verdict.Cursor) {
				t.Errorf("%v, %v after the newest entry", e, err)
			}
			entries := wholeHistory(t, m, "x")
			recorded := entries[len(entries)-1].Caller
			switch {
			case test.want == nil && recorded != nil:
				t.Errorf("recorded %+v", recorded)
			case test.want != nil && (recorded.Subject != test.want.Subject || string(recorded.Claims) != string(asRecorded(t, test.want.Claims)) || recorded.Value != nil):
				t.Errorf("recorded %+v, want %+v without its Value", recorded, test.want)
			}
		})
	}
}

func TestFunction_Internal(t *testing.T) {
	internal := sharedata.NewFunction("", func(_ context.Context, c Counter, in Add) (Counter, error) {
		c.Value += 10 * in.By
		return c, nil
	})
	m := newCounter(t, nil, 0, internal)
	p := sharedata.Proposal{ShareDataID: "counter", Data: Add{1}}
	if _, err := m.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("by an empty id: %v", err)
	}
	p.Function, p.FunctionID = internal, "add"
	if v, err := m.Propose(t.Context(), p); err != nil || !v.Accepted {
		t.Errorf("by itself: %+v, %v", v, err)
	}
	wantHistory(t, m, "counter", "1 created", `2  {"by":1} accepted`)
	wantState(t, m, "counter", `{"value":10}`)
}

// asRecorded returns raw JSON in the form in which it is recorded.
func asRecorded(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	if raw == nil {
		return nil
	}
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
