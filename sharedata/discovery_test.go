package sharedata_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/safe-go/safe/sharedata"
)

func TestFunctions_Described(t *testing.T) {
	const schema = `{ "required": ["by"] }`
	nop := func(_ context.Context, s, _ any) (any, error) { return s, nil }
	kind := sharedata.NewKind("counter",
		add.WithInputSchema(schema), sharedata.NewFunction("", nop), sharedata.NewFunction("slow", nop).WithTimeout(time.Minute))
	m := newManager(t, &sharedata.Options{Kinds: []sharedata.Kind{kind}, FunctionTimeout: time.Second})
	if _, err := m.CreateKind(t.Context(), "kind", "counter", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreateKind(t.Context(), "both", "counter", 0); err != nil {
		t.Fatal(err)
	}
	// An own function hides that of the kind by the same id.
	if _, err := m.Ensure(t.Context(), "both", 0, sharedata.NewFunction("slow", nop).WithTimeout(-1), sharedata.NewFunction("own", nop)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(t.Context(), "own", 0, sharedata.NewFunction("", nop), broken); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(t.Context(), "none", 0); err != nil {
		t.Fatal(err)
	}
	ofKind := sharedata.FunctionInfo{ID: "add", InputSchema: schema, Timeout: time.Second}
	for id, want := range map[string][]sharedata.FunctionInfo{
		"kind": {ofKind, {ID: "slow", Timeout: time.Minute}},
		"both": {{ID: "slow", Timeout: -1}, {ID: "own", Timeout: time.Second}, ofKind},
		"own":  {{ID: "broken", Timeout: time.Second}},
		"none": nil,
	} {
		if got, err := m.Functions(t.Context(), id); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %+v, %v, want %+v", id, got, err, want)
		}
	}
}

func TestFunctions_Timeouts(t *testing.T) {
	for option, want := range map[time.Duration]time.Duration{0: 5 * time.Second, -1: -1} {
		got, err := newCounter(t, &sharedata.Options{FunctionTimeout: option}, 0).Functions(t.Context(), "counter")
		if err != nil || len(got) != 2 || got[0].Timeout != want {
			t.Errorf("got %+v, %v, want the timeout %v", got, err, want)
		}
	}
}

func TestFunctions_Errors(t *testing.T) {
	m := newCounter(t, nil, 0)
	if got, err := m.Functions(t.Context(), "other"); !errors.Is(err, sharedata.ErrUnknownShareData) || got != nil {
		t.Errorf("unknown: %+v, %v", got, err)
	}
	if _, err := m.Functions(t.Context(), ""); !errors.Is(err, sharedata.ErrInvalidID) {
		t.Errorf("invalid id: %v", err)
	}
	if err := m.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Functions(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("removed: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Functions(t.Context(), "counter"); !errors.Is(err, sharedata.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
