package jsonpatch_test

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// pad makes texts so large that a patch is worth while.
const pad = `"pad":"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"`

func TestDiff_Patches(t *testing.T) {
	for _, test := range []struct {
		before, after string
		want          []byte
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, operations()},
		{`{"a":[1,{"b":2}]}`, `{ "a" : [ 1, { "b" : 2 } ] }`, operations()},
		{`{"a":1,"b":2,` + pad + `}`, `{"a":3,"b":2,` + pad + `}`, operations(`=/a 3`)},
		{`{"a":{"b":[0,{"c":1}]},` + pad + `}`, `{"a":{"b":[0,{"c":true}]},` + pad + `}`, operations(`=/a/b/1/c true`)},
		{`{"a":1,"b":2,"c":3,` + pad + `}`, `{"c":4,"d":{},"a":5,` + pad + `}`, operations(`=/a 5`, `-/b`, `=/c 4`, `+/d {}`)},
		{`{"a":1,"b":2,"c":3,` + pad + `}`, `{"c":3,` + pad + `}`, operations(`-/a`, `-/b`)},
		{`{"c":3,` + pad + `}`, `{"a":1,"c":3,` + pad + `}`, operations(`+/a 1`)},
		{`{` + pad + `}`, `{` + pad + `,"a<":1}`, operations(`+/a\u003c 1`)},
		{`{"a":[1,2,3,4,5],` + pad + `}`, `{"a":[1,2,4,5],` + pad + `}`, operations(`-/a/2`)},
		{`{"a":[1,2,4,` + pad[6:] + `],` + pad + `}`, `{"a":[1,2,3,3,4,` + pad[6:] + `],` + pad + `}`, operations(`+/a/2 3`, `+/a/3 3`)},
		{`{"a":[],` + pad + `}`, `{"a":[1],` + pad + `}`, operations(`+/a/0 1`)},
		{`{"a":[[1],[2],[3]],` + pad + `}`, `{"a":[[1],[4],[3]],` + pad + `}`, operations(`=/a/1/0 4`)},
		// A window moves.
		{`[1,2,3,"a",` + pad[6:] + `]`, `[3,"a",` + pad[6:] + `,4,5]`, operations(`-/0`, `-/0`, `+/3 4`, `+/4 5`)},
		{`[3,"a",` + pad[6:] + `,4,5]`, `[1,2,3,"a",` + pad[6:] + `]`, operations(`+/0 1`, `+/1 2`, `-/5`, `-/5`)},
		// Many operations for one value are more than the value.
		{`{"a":[1,2,3,4],` + pad + `}`, `{"a":[5,6,7,8],` + pad + `}`, operations(`=/a [5,6,7,8]`)},
		// Numbers are compared as texts.
		{`{"a":1.0,` + pad + `}`, `{"a":1,` + pad + `}`, operations(`=/a 1`)},
		{`{"~/\"":1,` + pad + `}`, `{"~/\"":2,` + pad + `}`, operations(`=/~0~1\" 2`)},
		// Names that come twice are not valid; the object is replaced.
		{`{"a":{"x":1,"x":2},` + pad + `}`, `{"a":{"x":1,"x":3},` + pad + `}`, operations(`=/a {"x":1,"x":3}`)},
	} {
		got, ok := jsonpatch.Diff([]byte(test.before), []byte(test.after))
		if !ok || !bytes.Equal(got, test.want) {
			t.Errorf("%s to %s: %s, %t; want %s", test.before, test.after, got, ok, test.want)
		}
	}
}

func TestDiff_NoSmallerPatch(t *testing.T) {
	for _, test := range [][2]string{
		{`{"a":1}`, `{"a":2}`},
		{`[1]`, `{}`},
		{`{"a":1,` + pad + `}`, `[` + pad[:5] + `]`},
		{`{"a":1,"a":2,` + pad + `}`, `{"a":1,"a":3,` + pad + `}`},
		{``, `{}`}, {`{`, `{}`}, {`{"a":1`, `{"a":2`}, {`{"a"}`, `{"a":1}`}, {`[1,`, `[1,2`}, {`["a`, `["b`}, {`{"a":[}`, `{"a":]}`}, {`[[1]`, `[[2]]`},
		// The patch itself would nest too deep for parsers.
		{`{` + pad + `}`, `{"a":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `,` + pad + `}`},
	} {
		if got, ok := jsonpatch.Diff([]byte(test[0]), []byte(test[1])); ok || got != nil {
			t.Errorf("%.100s to %.100s: %s", test[0], test[1], got)
		}
	}
}

// What nests deeper than JSON may does not exhaust the stack.
func TestDiff_StackIsBounded(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	for _, open := range []string{`[`, `{"a":`} {
		deep := strings.Repeat(open, 1<<18)
		if got, ok := jsonpatch.Diff([]byte(deep+"1"), []byte(deep+"2")); ok {
			t.Errorf("%.100s", got)
		}
		if _, err := jsonpatch.Apply([]byte(deep), operations(`=/a/0 1`)); err == nil {
			t.Error("no error")
		}
		jsonpatch.Find([]byte(deep), strings.Repeat("/0", 1000))
		jsonpatch.Canonical([]byte(deep + " "))
	}
}

// Values nest as deep as JSON may for other parsers.
func TestDiff_DeepValues(t *testing.T) {
	before, after := nested(5000, "1"), nested(5000, "2")
	patch, ok := jsonpatch.Diff(before, after)
	if !ok {
		t.Fatal("no patch")
	}
	got, err := jsonpatch.Apply(before, patch)
	if err != nil || !bytes.Equal(got, after) {
		t.Errorf("%v; %d bytes, want %d", err, len(got), len(after))
	}
}

// Canonical gives what encoding/json makes of raw JSON.
func TestCanonical(t *testing.T) {
	for _, text := range []string{
		`{"a":1}`, "{ \"a b\" :\t[ 1 ,\r\n2 ] }\n", `["<&>"]`, "[\"\u2028\u2029\u2027â\"]", `["\"  \\", " "]`, `"\u003C"`, ` 1e5`, `{"a":"é 😀"}`, `["a b"]`,
	} {
		want, err := json.Marshal(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		got := jsonpatch.Canonical([]byte(text))
		if !bytes.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if again := jsonpatch.Canonical(got); &again[0] != &got[0] {
			t.Errorf("%q: a canonical text is copied", text)
		}
	}
}
