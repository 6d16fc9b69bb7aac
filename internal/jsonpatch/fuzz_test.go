package jsonpatch_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	oracle "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// sameValue reports whether two texts are the same JSON value. Numbers are compared
// as their texts.
func sameValue(t *testing.T, a, b []byte) bool {
	t.Helper()
	return reflect.DeepEqual(decode(t, a), decode(t, b))
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%.200q: %v", text, err)
	}
	return value
}

var pairs = [][2]string{
	{`{"a":1}`, `{"a":2}`},
	{`{"a":1,"b":2,"c":3}`, `{"c":3,"b":2,"a":1}`},
	{`{"a":1,"b":{"c":[1,2,3]},"d":"x"}`, `{"a":1,"b":{"c":[1,3]},"e":"x"}`},
	{`[{"a":1},{"b":2},{"c":3}]`, `[{"a":1},{"c":3}]`},
	{`[1,2,3,4,5]`, `[1,9,3,4,5,6]`},
	{`{"a/b~c":1,"\u00e9":2,"":0}`, `{"a/b~c":2,"é":3,"":1}`},
	{`{"a":"x\"y\\","b":[[],{}]}`, `{"a":"x\"y\\\\","b":[{},[]]}`},
	{` { "a" : [ 1 , 2 ] } `, `{"a":[1,2,3]}`},
	{`[[[[1,2],3],4],5]`, `[[[[1,7],3],4],5]`},
	{`{"a":{"x":1,"y":2},"b":{"x":1,"y":2}}`, `{"b":{"y":2,"x":1},"a":{"y":3,"x":1}}`},
	{`{"a":12}`, `{"a":123}`},
	{`null`, `{}`},
	{`{"<":1,"\u2028":2}`, `{"\u003c":2,">":3}`},
	{`{"k":[],"l":{}}`, `{"k":[1],"l":{"m":1}}`},
	{`{"a":1,"a":2}`, `{"a":1,"a":3}`},
}

func FuzzDiffApply(f *testing.F) {
	for _, pair := range pairs {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	padding := `,"` + strings.Repeat("x", 1000) + `"]`
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if !jsontext.Value(before).IsValid() || !jsontext.Value(after).IsValid() {
			if patch, ok := jsonpatch.Diff(before, after); ok {
				_, _ = jsonpatch.Apply(before, patch)
			}
			return
		}
		checkDiff(t, before, after)
		// Between larger texts more patches are worth while.
		before, after = []byte("["+string(before)+padding), []byte("["+string(after)+padding)
		checkDiff(t, before, after)
		checkDiff(t, jsonpatch.Canonical(before), jsonpatch.Canonical(after))
	})
}

func checkDiff(t *testing.T, before, after []byte) {
	t.Helper()
	patch, ok := jsonpatch.Diff(before, after)
	switch same := sameValue(t, before, after); {
	case same != (string(patch) == "[]"), ok != (patch != nil):
		t.Fatalf("the patch is %s, %t; the same value: %t", patch, ok, same)
	case !ok || same:
		return
	case len(patch) >= len(after):
		t.Fatalf("the patch is not smaller: %s", patch)
	}
	result, err := jsonpatch.Apply(before, patch)
	if err != nil || !sameValue(t, result, after) {
		t.Fatalf("Apply(%s) gives %s, %v", patch, result, err)
	}
	if isCanonical(before) && isCanonical(after) && (!isCanonical(patch) || !isCanonical(result)) {
		t.Fatalf("not canonical: %s or %s", patch, result)
	}
	if expected, known := oracleApply(t, before, patch); known && !sameValue(t, result, expected) {
		t.Fatalf("the oracle makes %s of %s", expected, patch)
	}
}

// isCanonical reports whether the text is what encoding/json makes of it.
func isCanonical(text []byte) bool {
	canonical, err := json.Marshal(json.RawMessage(text))
	return err == nil && bytes.Equal(canonical, text)
}

// oracleApply applies a patch with another implementation. It is not known where
// that one does not implement RFC 6902: for documents that are neither object nor
// array, and for empty reference tokens, which it takes for the object itself.
func oracleApply(t *testing.T, state, patch []byte) (result []byte, known bool) {
	t.Helper()
	if c := bytes.TrimLeft(state, " \t\r\n"); c[0] != '{' && c[0] != '[' {
		return nil, false
	}
	decoded, err := oracle.DecodePatch(patch)
	if err != nil {
		return nil, false
	}
	for _, operation := range decoded {
		if path, err := operation.Path(); err != nil || strings.Contains(path+"/", "//") {
			return nil, false
		}
	}
	options := oracle.NewApplyOptions()
	options.SupportNegativeIndices = false
	result, err = decoded.ApplyWithOptions(state, options)
	return result, err == nil
}

func FuzzApply(f *testing.F) {
	for _, pair := range pairs {
		for _, patch := range []string{
			`[{"op":"add","path":"/a/-","value":1},{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/0","value":[1]}]`,
			`[{"op":"remove","path":"/0"},{"op":"remove","path":"/0"},{"op":"add","path":"/-","value":{}}]`,
			`[{"op":"add","path":"/z","value":1},{"op":"replace","path":"/a","value":{"q":1}},{"op":"add","path":"/a/r","value":1},{"op":"remove","path":"/z"}]`,
			`[{"op":"replace","path":"","value":[1,2]},{"op":"add","path":"/1","value":3},{"op":"remove","path":"/2"}]`,
		} {
			f.Add([]byte(pair[0]), []byte(patch))
		}
	}
	f.Fuzz(func(t *testing.T, state, patch []byte) {
		result, err := jsonpatch.Apply(state, patch)
		for _, pointer := range strings.Split(string(patch), `"`) {
			value, found := jsonpatch.Find(state, pointer)
			if found && json.Valid(state) && !json.Valid(value) {
				t.Fatalf("Find(%q): %s", pointer, value)
			}
		}
		if err != nil || !jsontext.Value(state).IsValid() {
			return
		}
		if !jsontext.Value(result).IsValid() {
			t.Fatalf("the result is not valid: %s", result)
		}
		if same := oneByOne(t, state, patch); !bytes.Equal(same, result) {
			t.Fatalf("one operation at a time gives %s, all give %s", same, result)
		}
		if isCanonical(state) && isCanonical(patch) && !isCanonical(result) {
			t.Fatalf("the result is not canonical: %s", result)
		}
		if expected, known := oracleApply(t, state, patch); known && !sameValue(t, result, expected) {
			t.Fatalf("the oracle gives %s, Apply %s", expected, result)
		}
	})
}

// oneByOne applies the operations of a patch as patches of one operation.
func oneByOne(t *testing.T, state, patch []byte) []byte {
	t.Helper()
	var operations []json.RawMessage
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	for _, operation := range operations {
		var err error
		if state, err = jsonpatch.Apply(state, []byte("["+string(operation)+"]")); err != nil {
			t.Fatalf("operation %s: %v", operation, err)
		}
	}
	return state
}
