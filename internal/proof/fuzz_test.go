package proof

import (
	"bytes"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzDocument holds the canonical form against exact decimals: no number of the data
// has another value in the document.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{"b":1.50,"a":[1e2,-0,"\u0041",{"\ud83d\ude00":null}]}`, `9007199254740993`, `1e999`, `0.1`, `[1152921504606847000,5e-324]`, `"\\\"1"`, `-0.0e-9`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if !jsontext.Value(data).IsValid() {
			return
		}
		document, err := (&Claims{}).Document(json.RawMessage(data))
		if err != nil {
			return
		}
		again := jsontext.Value(document).Clone()
		if err := again.Canonicalize(); err != nil || !bytes.Equal(again, document) {
			t.Fatalf("%q is not canonical (%v)", document, err)
		}
		var members struct{ ProposedData json.RawMessage }
		if err := json.Unmarshal(document, &members); err != nil {
			t.Fatal(err)
		}
		if !equal(t, []byte(data), members.ProposedData) {
			t.Errorf("%s became %s", data, members.ProposedData)
		}
	})
}

// equal compares two JSON values, and their numbers as decimals.
func equal(t *testing.T, a, b []byte) bool {
	return sameValue(decodeNumbers(t, a), decodeNumbers(t, b))
}

func decodeNumbers(t *testing.T, raw []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(b.String())
		// Exponents that are too large to compute with are those of 0.
		return ok && okY && (okX && x.Cmp(y) == 0 || !okX && y.Sign() == 0)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name := range a {
			if other, there := b[name]; !there || !sameValue(a[name], other) {
				return false
			}
		}
		return true
	}
	return a == b
}
