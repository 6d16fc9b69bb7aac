package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/sharedata"
)

func TestInput_BreaksSchema(t *testing.T) {
	const schema = `{
		"type": "object", "required": ["order"],
		"properties": {
			"order": {"$ref": "#/$defs/order"},
			"a/b~c": {"type": "string"}
		},
		"$defs": {"order": {"type": "object", "properties": {
			"lines": {"type": "array", "items": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}}
		}}}
	}`
	ran := false
	f := sharedata.NewRawFunction("f", func(_ context.Context, s, _ json.RawMessage) (json.RawMessage, error) {
		ran = true
		return s, nil
	}).WithInputSchema(schema)
	for _, test := range []struct {
		name, data, pointer, problem string
	}{
		{"the whole", `5`, "", "object"},
		{"a missing member", `{}`, "", "order"},
		{"a nested place", `{"order": {"lines": [{"count": 1}, {"count": 0}]}}`, "/order/lines/1/count", "minimum"},
		{"a nested type", `{"order": {"lines": [{"count": 1.5}]}}`, "/order/lines/0/count", "integer"},
		{"a name with characters of its own in a pointer", `{"order": {}, "a/b~c": 1}`, "/a~1b~0c", "string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, _, err := run(t, 0, f, rawJSON(test.data))
			var invalid *sharedata.InputError
			if !errors.As(err, &invalid) || !errors.Is(err, sharedata.ErrInvalidInput) {
				t.Fatalf("got %v, want an InputError", err)
			}
			if invalid.FunctionID != "f" || invalid.Pointer != test.pointer || !strings.Contains(invalid.Problem, test.problem) {
				t.Errorf("got %+v, want %q at %q", invalid, test.problem, test.pointer)
			}
			if !strings.Contains(err.Error(), test.pointer) || !strings.Contains(err.Error(), `"f"`) {
				t.Errorf("the message %q does not name the function and the place", err)
			}
			wantHistory(t, m, "x", "1 created")
		})
	}
	if ran {
		t.Error("the function ran all the same")
	}
	if _, verdict, err := run(t, 0, f, rawJSON(`{"order": {"lines": [{"count": 3}]}}`)); err != nil || !verdict.Accepted || !ran {
		t.Errorf("input that fits: %+v, %v", verdict, err)
	}
}

// The validator computes with exact fractions: these would cost it seconds or
// have it panic.
func TestInput_CostlyNumbers(t *testing.T) {
	f := sharedata.NewRawFunction("f", func(_ context.Context, s, _ json.RawMessage) (json.RawMessage, error) { return s, nil })
	for _, schema := range []string{
		`{"properties": {"a": {"items": {"minimum": 1}}}}`, `{"properties": {"a": {"items": {"multipleOf": 0.5}}}}`,
		`{"properties": {"a": {"items": {"type": "integer"}}}}`, `{"properties": {"a": {"uniqueItems": true}}}`, `true`,
	} {
		for _, number := range []string{
			"1e1000001", "1e99999999999999999999", "-1E-1000001", "1e+999999", "0e1000000", strings.Repeat("9", 1<<16), "0." + strings.Repeat("0", 1<<16) + "1",
		} {
			_, _, err := run(t, 0, f.WithInputSchema(schema), rawJSON(`{"b": 1, "a": [5, `+number+`]}`))
			var invalid *sharedata.InputError
			if !errors.As(err, &invalid) || invalid.Pointer != "/a/1" {
				t.Errorf("%s with %.20s: %v", schema, number, err)
			}
		}
		for _, number := range []string{"1e3", "1.25E+2", "12345678901234567890", "1e300"} {
			if _, _, err := run(t, 0, f.WithInputSchema(schema), rawJSON(`{"a": [`+number+`]}`)); err != nil && strings.Contains(err.Error(), "too many digits") {
				t.Errorf("%s with %s: %v", schema, number, err)
			}
		}
	}
}

// An error message is bounded, however large the input that it is about.
func TestErrorMessagesAreShort(t *testing.T) {
	type input struct {
		N int       `json:"n"`
		T time.Time `json:"t"`
	}
	long := strings.Repeat("9", 1<<16)
	f := sharedata.NewFunction("f", func(_ context.Context, s int, _ input) (int, error) { return s, nil })
	strict := f.WithInputSchema(`{"additionalProperties": false}`)
	m := newManager(t, nil)
	if _, err := m.Create(t.Context(), "x", 0, f); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"a number that does not fit": func() error { _, _, err := run(t, 0, f, rawJSON(`{"n":`+long+`}`)); return err },
		"a text that does not fit":   func() error { _, _, err := run(t, 0, f, rawJSON(`{"t":"`+long+`"}`)); return err },
		"a name that does not fit":   func() error { _, _, err := run(t, 0, strict, rawJSON(`{"`+long+`":1}`)); return err },
		"an unknown function": func() error {
			_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: long})
			return err
		},
		"a function for data that is no JSON": func() error {
			_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: long, Data: rawJSON("{")})
			return err
		},
		"a function whose caller has gone": func() error {
			_, err := m.Propose(ended, sharedata.Proposal{ShareDataID: "x", FunctionID: long, Function: f})
			return err
		},
		"a subject that is no text": func() error {
			_, err := m.Update(sharedata.WithCaller(t.Context(), &sharedata.Caller{Subject: long + "\xff"}), "x", 0)
			return err
		},
	} {
		if err := call(); err == nil || len(err.Error()) > 500 {
			t.Errorf("%s: %.700s", name, err)
		}
	}
}

func TestInput_DoesNotDecode(t *testing.T) {
	type embedded struct {
		Inner int `json:"inner"`
	}
	type input struct {
		embedded
		By    int `json:"by"`
		Items []struct {
			N int8 `json:"n"`
		} `json:"items"`
		Names map[string]int `json:"na.mes"`
		Time  time.Time      `json:"time"`
	}
	f := sharedata.NewFunction("f", func(_ context.Context, s int, _ input) (int, error) { return s, nil })
	for _, test := range []struct {
		data    string
		pointer string
	}{
		{`5`, ""},
		{` [ ]`, ""},
		{`{"by": "x"}`, "/by"},
		{`{"by": {}}`, "/by"},
		{`{"by": 1.5}`, "/by"},
		{`{"items": [{"n": 1}, {"n": "x"}]}`, "/items/1/n"},
		{`{"items": [{"n": 1}, {"x": 0, "n": 300}]}`, "/items/1/n"},
		{`{"items": [{"n": 1}, [ ]]}`, "/items/1"},
		{`{"items": {"n": 1}}`, "/items"},
		{`{"na.mes": {"a": 1, "b": [2]}}`, "/na.mes/b"},
		{`{"na.mes": {"a/~": "1"}}`, "/na.mes/a~1~0"},
		{`{"inner": "x"}`, "/inner"},
		{`{"time": "yesterday"}`, ""}, // its own decoding does not say where
	} {
		t.Run(test.data, func(t *testing.T) {
			m, _, err := run(t, 0, f, rawJSON(test.data))
			var invalid *sharedata.InputError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InputError", err)
			}
			if invalid.FunctionID != "f" || invalid.Pointer != test.pointer || invalid.Problem == "" {
				t.Errorf("got %+v, want the pointer %q", invalid, test.pointer)
			}
			wantHistory(t, m, "x", "1 created")
		})
	}
}

// offCentre is decoded by encoding/json within its own UnmarshalJSON, which
// counts from the beginning of its own bytes.
type offCentre struct{ n int }

func (o *offCentre) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &o.n) }

func TestInput_PlaceNotKnown(t *testing.T) {
	type input struct {
		First  string    `json:"first"`
		Second offCentre `json:"second"`
	}
	f := sharedata.NewFunction("f", func(_ context.Context, s int, _ input) (int, error) { return s, nil })
	for _, data := range []string{`{"first": "x", "second": "y"}`, `{"first": "a long text", "second": {}}`} {
		_, _, err := run(t, 0, f, rawJSON(data))
		var invalid *sharedata.InputError
		if !errors.As(err, &invalid) {
			t.Fatalf("%s: got %v, want an InputError", data, err)
		}
		if invalid.Pointer != "" && !strings.HasPrefix(invalid.Pointer, "/second") {
			t.Errorf("%s: it is said to be wrong at %q", data, invalid.Pointer)
		}
	}
}

func TestInput_NotJSON(t *testing.T) {
	ran := false
	f := sharedata.NewRawFunction("f", func(_ context.Context, s, _ json.RawMessage) (json.RawMessage, error) {
		ran = true
		return s, nil
	})
	for name, data := range map[string]any{
		"nothing":                rawJSON(""),
		"nil bytes":              json.RawMessage(nil),
		"half an object":         rawJSON(`{"a":`),
		"two values":             rawJSON(`1 2`),
		"bytes that are no text": rawJSON("\"\xff\""),
		"half a surrogate pair":  rawJSON(`"\ud800"`),
		"a member twice":         rawJSON(`{"a":1,"a":2}`),
		"a Go channel":           make(chan int),
		"not a number":           math.NaN(),
		"raw JSON inside that has a member twice": map[string]any{"x": rawJSON(`{"a":1,"a":2}`)},
		"raw JSON inside that is no text":         []any{rawJSON("\"\xff\"")},
		"nested too deep":                         rawJSON(strings.Repeat("[", sharedata.MaxDepth+1) + strings.Repeat("]", sharedata.MaxDepth+1)),
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := run(t, 0, f, data)
			if !errors.Is(err, sharedata.ErrInvalidInput) {
				t.Errorf("got %v, want ErrInvalidInput", err)
			}
			wantHistory(t, m, "x", "1 created")
			if _, err := m.Update(t.Context(), "x", data); !errors.Is(err, sharedata.ErrInvalidState) {
				t.Errorf("as a state: %v, want ErrInvalidState", err)
			}
			if _, err := m.Create(t.Context(), "y", data); !errors.Is(err, sharedata.ErrInvalidState) {
				t.Errorf("as a first state: %v, want ErrInvalidState", err)
			}
		})
	}
	if ran {
		t.Error("the function ran")
	}
}

// The deepest state and data must still come back out of every record.
func TestInput_MaxDepth(t *testing.T) {
	deep := rawJSON(strings.Repeat("[", sharedata.MaxDepth) + strings.Repeat("]", sharedata.MaxDepth))
	f := sharedata.NewRawFunction("f", func(_ context.Context, _, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	ctx := sharedata.WithCaller(t.Context(), &sharedata.Caller{Claims: deep})
	m := newManager(t, nil)
	if _, err := m.Create(ctx, "x", deep, f); err != nil {
		t.Fatal(err)
	}
	p := sharedata.Proposal{ShareDataID: "x", FunctionID: "f", Data: deep, IdempotencyKey: "k"}
	for _, duplicate := range []bool{false, true} {
		if v, err := m.Propose(ctx, p); err != nil || !v.Accepted || v.Duplicate != duplicate {
			t.Fatalf("got %+v, %v", v, err)
		}
	}
	if entries := wholeHistory(t, m, "x"); len(entries) != 2 || string(entries[1].Data) != string(deep) {
		t.Error("it came back as something else")
	}
	p.Data, p.IdempotencyKey = rawJSON("["+string(deep)+"]"), ""
	if _, err := m.Propose(ctx, p); !errors.Is(err, sharedata.ErrInvalidInput) {
		t.Errorf("one level deeper: %v", err)
	}
}

// Brackets within strings do not nest.
func TestInput_BracketsInStrings(t *testing.T) {
	f := sharedata.NewRawFunction("f", func(_ context.Context, _, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	brackets := strings.Repeat(`[{`, sharedata.MaxDepth)
	for data, valid := range map[string]bool{
		`{"` + brackets + `":["` + brackets + `"]}`: true,
		`"\\\"` + brackets + `\\"`:                  true,
		strings.Repeat(`["`+brackets+`",`, sharedata.MaxDepth+1) + `1` + strings.Repeat(`]`, sharedata.MaxDepth+1): false,
	} {
		for _, value := range []any{rawJSON(data), jsontext.Value(data)} { // both are raw JSON
			if got, err := f.Run(t.Context(), 0, value); (err == nil) != valid || valid && string(got) != data {
				t.Errorf("%.40s… as a %T: %.40s, %v, want valid %v", data, value, got, err, valid)
			}
		}
	}
}

func TestInput_IsCopied(t *testing.T) {
	m := newManager(t, nil)
	f := sharedata.NewRawFunction("f", func(_ context.Context, _, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	buffer := rawJSON(`[1]`)
	if _, err := m.Create(t.Context(), "x", buffer, f); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "XXX")
	wantState(t, m, "x", "[1]")
	copy(buffer, "[2]")
	if _, err := m.Update(t.Context(), "x", buffer); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "XXX")
	wantState(t, m, "x", "[2]")
	copy(buffer, "[3]")
	if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "f", Data: buffer}); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "XXX")
	wantState(t, m, "x", "[3]")
	wantHistory(t, m, "x", "1 created", "2 updated", "3 f [3] accepted")
}

func TestSubmit_DataIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		var seen recorder
		mustObserve(t, m, "counter", &seen)
		var a replies
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, a.done("held"))
		<-g.arrived
		buffer := rawJSON(`{"by":3}`)
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "add", Data: buffer}, a.done("add"))
		copy(buffer, `XXXXXXXX`)
		close(g.open)
		synctest.Wait()
		want := []string{`2 held null accepted -> {"value":0}`, `3 add {"by":3} accepted -> {"value":3}`}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("observed %q, want %q", got, want)
		}
	})
}

func TestCaller_Invalid(t *testing.T) {
	m := newCounter(t, nil, 0)
	for name, caller := range map[string]*sharedata.Caller{
		"a subject that is not UTF-8":     {Subject: "a\xff"},
		"claims that are not JSON":        {Subject: "a", Claims: rawJSON(`{`)},
		"claims of nothing":               {Subject: "a", Claims: rawJSON(``)},
		"claims with a member twice":      {Subject: "a", Claims: rawJSON(`{"a":1,"a":2}`)},
		"claims that are nested too deep": {Claims: rawJSON(strings.Repeat("[", sharedata.MaxDepth+1) + strings.Repeat("]", sharedata.MaxDepth+1))},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := sharedata.WithCaller(t.Context(), caller)
			proposal := addition("counter", 1, "")
			_, errPropose := m.Propose(ctx, proposal)
			proposal.Caller = caller
			_, errCaller := m.Propose(t.Context(), proposal)
			_, errCreate := m.Create(ctx, "new", 0)
			_, errUpdate := m.Update(ctx, "counter", 0)
			for _, err := range []error{errPropose, errCaller, errCreate, errUpdate, m.Remove(ctx, "counter")} {
				if !errors.Is(err, sharedata.ErrInvalidCaller) {
					t.Errorf("got %v, want ErrInvalidCaller", err)
				}
			}
			wantHistory(t, m, "counter", "1 created")
		})
	}
}
