package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

func TestARawFunctionGetsTheBytesAsTheyWereProposed(t *testing.T) {
	const state, data = `{"a" : 1.0, "<" : "A"}`, `[ 1e2 , "\/" ]`
	f := sharedata.NewRawFunction("f", func(_ context.Context, gotState, gotData json.RawMessage) (json.RawMessage, error) {
		if string(gotState) != state || string(gotData) != data {
			t.Errorf("got %s and %s", gotState, gotData)
		}
		return json.RawMessage(`{"b" : "&"}`), nil
	})
	m, verdict, err := run(t, rawJSON(state), f, rawJSON(data))
	if err != nil || !verdict.Accepted {
		t.Fatal(verdict, err)
	}
	wantState(t, m, "x", `{"b" : "&"}`)
	wantHistory(t, m, "x", "1 created", `2 f [1e2,"\/"] accepted`)
}

func TestAFunctionMayBeUsedByManyAtOnce(t *testing.T) {
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

func TestASchemaThatDoesNotCompileRefusesTheRegistration(t *testing.T) {
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

func TestFunctionsThatCannotBeRegistered(t *testing.T) {
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
		{"an id of any UTF-8", []*sharedata.Function{named("\x00 \u2028 🙂")}, true},
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

func TestAStateThatTheFunctionCannotReadFailsIt(t *testing.T) {
	m, _, err := run(t, "text", add, Add{1})
	if !errors.Is(err, sharedata.ErrFunctionFailed) || !errors.Is(err, sharedata.ErrInvalidState) || errors.Is(err, sharedata.ErrInvalidInput) {
		t.Errorf("got %v", err)
	}
	wantHistory(t, m, "x", "1 created")
}

func TestAResultThatIsNoStateFailsTheFunction(t *testing.T) {
	rawResult := func(result string) *sharedata.Function {
		return sharedata.NewRawFunction("f", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(result), nil
		})
	}
	result := func(value any) *sharedata.Function {
		return sharedata.NewFunction("f", func(context.Context, any, any) (any, error) { return value, nil })
	}
	for name, f := range map[string]*sharedata.Function{
		"raw: nothing":        rawResult(""),
		"raw: half an object": rawResult(`{`),
		"raw: two values":     rawResult(`1 2`),
		"raw: no text":        rawResult("\"\xff\""),
		"raw: a member twice": rawResult(`{"a":1,"a":2}`),
		"raw: too deep":       rawResult(strings.Repeat("[", sharedata.MaxDepth+1) + strings.Repeat("]", sharedata.MaxDepth+1)),
		"a Go channel":        result(make(chan int)),
		"not a number":        result(math.Inf(1)),
		"raw JSON inside that has a member twice": result(map[string]any{"x": rawJSON(`{"a":1,"a":2}`)}),
		"raw JSON inside that is no text":         result(map[string]any{"x": rawJSON("\"\xff\"")}),
		"two names that are one when written":     result(map[string]any{"\xff": 1, "\xfe": 2}),
	} {
		t.Run(name, func(t *testing.T) {
			m, verdict, err := run(t, 0, f, 0)
			if !errors.Is(err, sharedata.ErrFunctionFailed) || !errors.Is(err, sharedata.ErrInvalidState) {
				t.Errorf("got %+v, %v, want ErrInvalidState in ErrFunctionFailed", verdict, err)
			}
			wantState(t, m, "x", "0")
			wantHistory(t, m, "x", "1 created")
		})
	}
}

func TestWhatARawFunctionDoesToItsResultAfterwardsHasNoEffect(t *testing.T) {
	result := json.RawMessage(`{"a":1}`)
	f := sharedata.NewRawFunction("f", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) {
		return result, nil
	})
	m, _, err := run(t, 0, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(result, `XXXXXXX`)
	wantState(t, m, "x", `{"a":1}`)
	wantHistory(t, m, "x", "1 created", "2 f 0 accepted")
}

func TestChangingTheGivenStateHasNoEffectUnlessItIsReturned(t *testing.T) {
	type document struct {
		List []int          `json:"list"`
		Map  map[string]int `json:"map"`
		Any  any            `json:"any"`
	}
	const before = `{"list":[1,2,3],"map":{"a":1},"any":{"deep":[1]}}`
	spoilTyped := func(d *document) {
		d.List[0] = 99
		d.List = append(d.List[:1], 98)
		d.Map["b"] = 2
		delete(d.Map, "a")
		d.Any.(map[string]any)["deep"].([]any)[0] = 97
	}
	spoilRaw := func(texts ...json.RawMessage) {
		for _, text := range texts {
			for i := range text {
				text[i] = 'X'
			}
		}
	}
	typed := func(end func() error) *sharedata.Function {
		return sharedata.NewFunction("f", func(_ context.Context, d, in document) (document, error) {
			spoilTyped(&d)
			spoilTyped(&in)
			return d, end()
		})
	}
	rawly := func(end func() error) *sharedata.Function {
		return sharedata.NewRawFunction("f", func(_ context.Context, state, input json.RawMessage) (json.RawMessage, error) {
			spoilRaw(state, input)
			_ = append(state, "more"...)
			return state, end()
		})
	}
	for name, make := range map[string]func(func() error) *sharedata.Function{"typed": typed, "raw": rawly} {
		for _, test := range []struct {
			name    string
			end     func() error
			history []string
		}{
			{"and rejecting", func() error { return sharedata.Reject("no") }, []string{"1 created", "2 f " + before + " rejected"}},
			{"and failing", func() error { return errBroken }, []string{"1 created"}},
			{"and panicking", func() error { panic("no") }, []string{"1 created"}},
		} {
			t.Run(name+" "+test.name, func(t *testing.T) {
				m, _, _ := run(t, rawJSON(before), make(test.end), rawJSON(before))
				wantState(t, m, "x", before)
				wantHistory(t, m, "x", test.history...)
			})
		}
	}
}

func TestTheDeadlineOfAManagersFunctions(t *testing.T) {
	blocks := sharedata.NewFunction("f", func(ctx context.Context, s, _ int) (int, error) {
		<-ctx.Done()
		return s, ctx.Err()
	})
	for _, test := range []struct {
		name    string
		options sharedata.Options
		f       *sharedata.Function
		want    time.Duration
	}{
		{"by default 5 s", sharedata.Options{}, blocks, 5 * time.Second},
		{"the option", sharedata.Options{FunctionTimeout: time.Minute}, blocks, time.Minute},
		{"its own", sharedata.Options{FunctionTimeout: time.Minute}, blocks.WithTimeout(time.Second), time.Second},
		{"switched off, the caller's", sharedata.Options{FunctionTimeout: -1}, blocks, time.Hour},
		{"its own switched off, the caller's", sharedata.Options{}, blocks.WithTimeout(-1), time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, &test.options)
				if _, err := m.Create(t.Context(), "x", 0, test.f, add); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				_, err := m.Propose(ctx, sharedata.Proposal{ShareDataID: "x", FunctionID: "f"})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
				wantHistory(t, m, "x", "1 created")
			})
		})
	}
}

func TestAStuckFunctionDoesNotHoldUpTheNextProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("loop", g))
		begin := time.Now()
		_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "loop", Data: Add{100}})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sharedata.ErrFunctionFailed) {
			t.Errorf("got %v", err)
		}
		mustAdd(t, m, "counter", 1)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		close(g.open) // its result comes too late
		synctest.Wait()
		mustAdd(t, m, "counter", 1)
		wantState(t, m, "counter", `{"value":2}`)
	})
}

func TestAPanicIsLoggedWithItsStackAndNotTold(t *testing.T) {
	var log strings.Builder
	f := sharedata.NewFunction("f", func(context.Context, Counter, Add) (Counter, error) { panic("the secret cause") })
	m := newCounter(t, &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, 1, f)
	_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "f"})
	var failed *sharedata.FunctionError
	if !errors.As(err, &failed) || !errors.Is(err, sharedata.ErrFunctionPanicked) || failed.FunctionID != "f" {
		t.Fatalf("got %v", err)
	}
	mustAdd(t, m, "counter", 1)
	if text := log.String(); !strings.Contains(text, "the secret cause") || !strings.Contains(text, "function_test.go") {
		t.Errorf("the log has no cause and stack: %s", text)
	}
	wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`)
}

func TestAFunctionSeesTheContextAndTheCaller(t *testing.T) {
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
			case test.want != nil && (recorded.Subject != test.want.Subject || string(recorded.Claims) != string(lasting(t, test.want.Claims)) || recorded.Value != nil):
				t.Errorf("recorded %+v, want %+v without its Value", recorded, test.want)
			}
		})
	}
}

func TestAnInternalFunctionIsReachedOnlyByItself(t *testing.T) {
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

func TestDecode(t *testing.T) {
	if c, err := sharedata.Decode[Counter](rawJSON(`{"value":3}`)); err != nil || c.Value != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := sharedata.Decode[Counter](rawJSON(`[]`)); !errors.Is(err, sharedata.ErrInvalidState) {
		t.Errorf("%+v, %v", c, err)
	}
}

// lasting is the form in which raw JSON is recorded.
func lasting(t *testing.T, raw json.RawMessage) json.RawMessage {
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
