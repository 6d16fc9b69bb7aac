package main

import (
	"encoding/json"
	"testing"
)

// The cases of RFC 7396, appendix A, and numbers that no float64 holds.
func TestMergePatch(t *testing.T) {
	for _, test := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`null`, `{ "a" : { "b" : null, "c" : [ { "d" : null } ] } }`, `{"a":{"c":[{"d":null}]}}`},
		{`{"a":"<b>"}`, `{}`, `{"a":"<b>"}`},
		{`{"a":1e400}`, `{"b":12345678901234567890123}`, `{"a":1e400,"b":12345678901234567890123}`},
	} {
		got, err := mergePatch(json.RawMessage(test.target), json.RawMessage(test.patch))
		if err != nil || string(got) != test.want {
			t.Errorf("%s merged into %s: got %s, %v; want %s", test.patch, test.target, got, err, test.want)
		}
	}
}
