package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

func TestFunction_UndecodableState(t *testing.T) {
	m, _, err := run(t, "text", add, Add{1})
	if !errors.Is(err, sharedata.ErrFunctionFailed) || !errors.Is(err, sharedata.ErrInvalidState) || errors.Is(err, sharedata.ErrInvalidInput) {
		t.Errorf("got %v", err)
	}
	wantHistory(t, m, "x", "1 created")
}

func TestFunction_InvalidResult(t *testing.T) {
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

func TestRawFunction_ResultIsCopied(t *testing.T) {
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

func TestFunction_StateIsCopied(t *testing.T) {
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

func TestDecode(t *testing.T) {
	if c, err := sharedata.Decode[Counter](rawJSON(`{"value":3}`)); err != nil || c.Value != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := sharedata.Decode[Counter](rawJSON(`[]`)); !errors.Is(err, sharedata.ErrInvalidState) {
		t.Errorf("%+v, %v", c, err)
	}
}
