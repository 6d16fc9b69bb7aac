package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/sharedata"
)

type strictEmbedded struct {
	Inner int `json:"inner"`
}

// strictInput has what encoding/json treats in its own way.
type strictInput struct {
	strictEmbedded
	By     int         `json:"by"`
	Number json.Number `json:"number"`
	Items  []struct {
		N int `json:"n"`
	} `json:"items"`
	Named map[string]struct {
		N int `json:"n"`
	} `json:"named"`
	Next   *strictInput    `json:"next"`
	Any    any             `json:"any"`
	Map    map[string]any  `json:"map"`
	Raw    json.RawMessage `json:"raw"`
	Own    ownDecoding     `json:"own"`
	Time   time.Time       `json:"time"`
	Hidden int             `json:"-"`
}

// ownDecoding takes any JSON.
type ownDecoding struct{}

func (*ownDecoding) UnmarshalJSON([]byte) error { return nil }

func TestStrictInput_UnknownMember(t *testing.T) {
	f := sharedata.NewFunction("f", func(_ context.Context, s int, _ strictInput) (int, error) { return s + 1, nil }).WithStrictInput()
	long := strings.Repeat("long", 1000)
	for _, test := range []struct{ data, pointer string }{
		{`{"bye":3}`, "/bye"},
		{`{"by":1,"bye":3}`, "/bye"},
		{`{"items":[{"n":1},{"n":2,"x":3}]}`, "/items/1/x"},
		{`{"named":{"a/~":{"n":1,"m":2}}}`, "/named/a~1~0/m"},
		{`{"next":{"next":{"x":{}}}}`, "/next/next/x"},
		{`{"any":{"x":1},"map":{"x":1},"raw":{"x":1},"own":{"x":1},"x":1}`, "/x"},
		{`{"Hidden":1}`, "/Hidden"},
		{`{"":1}`, "/"},
		{`{"` + long + `":1}`, ""}, // too long to be sent back: the enclosing value
		{`{"items":[{"` + long + `":1}]}`, "/items/0"},
		{`{"by":"x"}`, "/by"}, // the type does not fit
		{`{"by":"x","bye":1}`, "/by"},
		{`[]`, ""},
	} {
		_, err := f.Run(t.Context(), 0, rawJSON(test.data))
		var invalid *sharedata.InputError
		if !errors.As(err, &invalid) || invalid.FunctionID != "f" || invalid.Pointer != test.pointer || invalid.Problem == "" || len(err.Error()) > 500 {
			t.Errorf("%.60s: got %+v, %v, want the pointer %q", test.data, invalid, err, test.pointer)
		}
	}
}

func TestStrictInput_KnownMembers(t *testing.T) {
	f := sharedata.NewFunction("f", func(_ context.Context, _ any, in strictInput) (any, error) { return in, nil })
	for _, data := range []string{
		`{}`, `null`, `{"by":1}`, `{"BY":1}`, `{"inner":1}`, `{"number":1e400}`, `{"items":[],"named":null,"next":{"by":2}}`,
		`{"any":{"x":{"y":1}},"map":{"x":1},"raw":{"x":1},"own":{"x":1},"time":"2030-01-02T03:04:05Z"}`, `{"any":12345678901234567890}`,
	} {
		want, err := f.Run(t.Context(), 0, rawJSON(data))
		if err != nil {
			t.Fatalf("%s without the option: %v", data, err)
		}
		if got, err := f.WithStrictInput().Run(t.Context(), 0, rawJSON(data)); err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s, %v, want %s", data, got, err, want)
		}
	}
}

// The decoder that finds the place does not know json.Number, but encoding/json
// decides.
func TestStrictInput_PlaceNotKnown(t *testing.T) {
	f := sharedata.NewFunction("f", func(_ context.Context, s int, _ strictInput) (int, error) { return s, nil }).WithStrictInput()
	_, err := f.Run(t.Context(), 0, rawJSON(`{"number":1,"bye":1}`))
	var invalid *sharedata.InputError
	if !errors.As(err, &invalid) || invalid.Pointer != "" && invalid.Pointer != "/bye" || !strings.Contains(invalid.Problem, "bye") {
		t.Errorf("got %+v, %v", invalid, err)
	}
}

func TestStrictInput_IsACopy(t *testing.T) {
	strict := add.WithStrictInput()
	misspelled := rawJSON(`{"bye":3}`)
	if _, err := add.Run(t.Context(), Counter{1}, misspelled); err != nil {
		t.Errorf("the function that it is a copy of: %v", err)
	}
	for name, f := range map[string]*sharedata.Function{
		"twice":         strict.WithStrictInput(),
		"then a schema": strict.WithInputSchema(`{}`),
		"then timeout":  strict.WithTimeout(time.Minute),
	} {
		if _, err := f.Run(t.Context(), Counter{1}, misspelled); !errors.Is(err, sharedata.ErrInvalidInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw := sharedata.NewRawFunction("raw", func(_ context.Context, s, _ json.RawMessage) (json.RawMessage, error) { return s, nil })
	if _, err := raw.WithStrictInput().Run(t.Context(), Counter{1}, misspelled); err != nil {
		t.Errorf("a raw function: %v", err)
	}
}

func TestStrictInput_Propose(t *testing.T) {
	m, _, err := run(t, Counter{1}, add.WithStrictInput(), rawJSON(`{"bye":3}`))
	var invalid *sharedata.InputError
	if !errors.As(err, &invalid) || invalid.Pointer != "/bye" {
		t.Errorf("got %v", err)
	}
	wantHistory(t, m, "x", "1 created")
}
