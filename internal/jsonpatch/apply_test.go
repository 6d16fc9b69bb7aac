package jsonpatch_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// operations writes a patch: "+path value", "-path" or "=path value" each.
func operations(short ...string) []byte {
	var b bytes.Buffer
	for _, s := range short {
		path, value, _ := strings.Cut(s[1:], " ")
		switch s[0] {
		case '+':
			fmt.Fprintf(&b, `,{"op":"add","path":"%s","value":%s}`, path, value)
		case '-':
			fmt.Fprintf(&b, `,{"op":"remove","path":"%s"}`, path)
		case '=':
			fmt.Fprintf(&b, `,{"op":"replace","path":"%s","value":%s}`, path, value)
		}
	}
	return []byte("[" + strings.TrimPrefix(b.String(), ",") + "]")
}

// The bytes of the result are those that the package documentation specifies.
func TestApply_Text(t *testing.T) {
	for _, test := range []struct {
		state string
		patch []byte
		want  string
	}{
		{`{"a":1}`, operations(), `{"a":1}`},
		{`{"a":1}`, []byte(`[{"op":"replace","path":"/a","value": {"x": 2.0} }]`), `{"a":{"x": 2.0}}`},
		{` {"a":1} `, operations(`= [1]`), `[1]`},
		{`{"a":1}`, operations(`+ "x"`, `= {"b":1}`, `+/c 2`), `{"b":1,"c":2}`},
		{`{"b":1,"a":2}`, operations(`+/b 3`), `{"b":3,"a":2}`},
		{`{"\u0061":1}`, operations(`=/a 2`), `{"\u0061":2}`},
		{`{"b":1,"a":2}`, operations(`+/0 {"x":[]}`), `{"b":1,"a":2,"0":{"x":[]}}`},
		{`{}`, operations(`+/a 1`, `+/b 2`), `{"a":1,"b":2}`},
		{`{}`, operations(`+/<>&\u2028\u2029é\"\\\u0001\n\b\u007f~1~0 1`), `{"\u003c\u003e\u0026\u2028\u2029é\"\\\u0001\n\b` + "\x7f" + `/~":1}`},
		{`{"":{"":1}}`, operations(`+// 2`), `{"":{"":2}}`},
		{`{"a":1,"b":2,"c":3}`, operations(`-/a`), `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, operations(`-/b`), `{"a":1,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, operations(`-/c`, `-/b`, `-/a`), `{}`},
		{`{"a":1,"b":2,"c":3}`, operations(`-/a`, `-/b`, `-/c`, `+/a 4`), `{"a":4}`},
		{`{"a":1,"b":2}`, operations(`-/a`, `+/a 3`), `{"b":2,"a":3}`},
		{`{"a":{"x":1},"b":2}`, operations(`=/a/x 2`, `+/a/y 3`, `+/a/x 4`, `+/c 5`, `+/a 6`, `+/c 7`), `{"a":6,"b":2,"c":7}`},
		{`[1,2,3]`, operations(`+/0 0`, `+/1 9`, `+/- 4`, `+/6 5`), `[0,9,1,2,3,4,5]`},
		{`[1,2,3]`, operations(`+/0 0`, `-/1`, `-/1`), `[0,3]`},
		{`[1,2,3]`, operations(`+/1 0`, `=/2 [7]`, `+/2/0 8`), `[1,0,[8,7],3]`},
		{`[1,2,3]`, operations(`-/0`, `-/0`, `-/0`, `+/0 4`, `+/- 5`), `[4,5]`},
		{`[1,2,3]`, operations(`-/2`, `-/1`, `-/0`), `[]`},
		{`[[],[]]`, operations(`+/1/- 1`, `+/0/0 2`), `[[2],[1]]`},
		{`[[1],2]`, operations(`+/0 0`, `+/1/1 3`), `[0,[1,3],2]`},
		// White space stays, but that around a comma that goes.
		{"{ \"a\" : 1 , \"b\" : 2 }", operations(`-/a`), "{ \"b\" : 2 }"},
		{"{ \"a\" : 1 , \"b\" : 2 }", operations(`-/b`), "{ \"a\" : 1 }"},
		{"[ 1 , 2 , 3 ]", operations(`+/1 0`, `-/3`), "[ 1 , 0,2 ]"},
		{"[ 1 ]\n", operations(`-/0`, `+/0 2`), "[  2]\n"},
		{"{ }", operations(`+/a 1`), `{ "a":1}`},
	} {
		got, err := jsonpatch.Apply([]byte(test.state), test.patch)
		if err != nil || string(got) != test.want {
			t.Errorf("%s with %s: %s, %v; want %s", test.state, test.patch, got, err, test.want)
		}
		if got := oneByOne(t, []byte(test.state), test.patch); string(got) != test.want {
			t.Errorf("%s with %s, one by one: %s; want %s", test.state, test.patch, got, test.want)
		}
	}
}

func TestApply_RefusedPatches(t *testing.T) {
	state := `{"a":{"b":1},"c":[1,2],"d":"x"}`
	for _, patch := range []string{
		``, `{}`, `null`, `[1]`, `[{}]`, `[{"op":"add","path":"/a"}]`, `[{"op":"add","value":1}]`, `[{"path":"/a","value":1}]`,
		`[{"op":"add","path":"/a","value":1}`, `[{"op":"add","path":"/a","value":1}] 1`, `[{"op":"add","path":1,"value":1}]`,
		`[{"op":1,"path":"/a","value":1}]`, `[{"op":"add","op":"add","path":"/a","value":1}]`, `[{"op":"add","path":"/a","value":{"x":1,"x":2}}]`,
		`[{"op":"add","path":"/a","value":"\ud800"}]`, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"\xff\"}]", `[{"op":"add","path":"a","value":1}]`,
		`[{"op":"add","path":"/a~2","value":1}]`, `[{"op":"add","path":"/a~","value":1}]`, `[{"op":"Add","path":"/a","value":1}]`,
		`[{"op":"move","path":"/e","from":"/a"}]`, `[{"op":"test","path":"/d","value":"x"}]`, `[{"op":"remove","path":""}]`,
		`[{"op":"remove","path":"/e"}]`, `[{"op":"replace","path":"/e","value":1}]`, `[{"op":"add","path":"/e/f","value":1}]`,
		`[{"op":"add","path":"/d/f","value":1}]`, `[{"op":"add","path":"/c/3","value":1}]`, `[{"op":"add","path":"/c/01","value":1}]`,
		`[{"op":"add","path":"/c/+1","value":1}]`, `[{"op":"replace","path":"/c/2","value":1}]`, `[{"op":"replace","path":"/c/-","value":1}]`,
		`[{"op":"remove","path":"/c/99999999999999999999"}]`, `[{"op":"remove","path":"/c/1"},{"op":"remove","path":"/c/1"}]`,
		`[{"op":"remove","path":"/d"},{"op":"replace","path":"/a/x","value":1}]`, `[{"op":"add","path":"/c/-/x","value":1}]`,
	} {
		result, err := jsonpatch.Apply([]byte(state), []byte(patch))
		var refused *jsonpatch.Error
		if result != nil || !errors.As(err, &refused) || !errors.Is(err, jsonpatch.ErrPatch) {
			t.Errorf("%s: %s, %v", patch, result, err)
		}
	}
}

// Unknown members are ignored, and names and strings may be escaped.
func TestApply_UnknownMembers(t *testing.T) {
	patch := ` [ { "x" : [ 1 ] , "value" : 2 , "\u0070ath" : "\/a" , "op" : "repl\u0061ce" , "from" : 3 } ] `
	if got, err := jsonpatch.Apply([]byte(`{"a":1}`), []byte(patch)); err != nil || string(got) != `{"a":2}` {
		t.Errorf("%s, %v", got, err)
	}
}

// The result shares no memory with the patch.
func TestApply_OwnMemory(t *testing.T) {
	state, patch := []byte(`{"a":1}`), operations(`= {"b":1}`, `+/b 2`)
	got, err := jsonpatch.Apply(state, patch)
	clear(patch)
	clear(state)
	if err != nil || string(got) != `{"b":2}` {
		t.Errorf("%q, %v", got, err)
	}
}

// A small patch must not make a server copy a large state without end.
func TestApply_DisorderIsBounded(t *testing.T) {
	state := []byte(`{"a":1,"text":"` + strings.Repeat("x", 16<<20) + `","b":2}`)
	patch := operations(slicesRepeat(100, `=/b 1`, `=/a 1`)...)
	if _, err := jsonpatch.Apply(state, patch); err == nil || !strings.Contains(err.Error(), "order of the document") {
		t.Error(err)
	}
}

func slicesRepeat(count int, operations ...string) (all []string) {
	for range count {
		all = append(all, operations...)
	}
	return all
}

func TestFind(t *testing.T) {
	text := []byte(` {"a" : [1, {"b~/":"x\"]"}], "\u00e9":{}, "":null} `)
	for pointer, want := range map[string]string{
		"/a/0": "1", "/a/1/b~0~1": `"x\"]"`, "/é": "{}", "/": "null", "/a": `[1, {"b~/":"x\"]"}]`, "": strings.TrimSpace(string(text)),
	} {
		if got, found := jsonpatch.Find(text, pointer); !found || string(got) != want {
			t.Errorf("%q: %s, %t", pointer, got, found)
		}
	}
	for _, pointer := range []string{"a", "/a/2", "/a/-", "/a/01", "/a/", "/b", "//", "/a/0/x", "/~", "/~2", "/a/1/b~~1"} {
		if got, found := jsonpatch.Find(text, pointer); found || got != nil {
			t.Errorf("%q: %s", pointer, got)
		}
	}
}
