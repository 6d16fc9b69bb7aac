package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// The cases of RFC 7396, appendix A, that are objects, and numbers that no float64 holds.
func TestMergePatch(t *testing.T) {
	into := sharedata.NewPatchFunction("merge", func(_ context.Context, document sharedata.Document, merge json.RawMessage) (sharedata.Patch, error) {
		return mergePatch(document, merge)
	})
	for _, test := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`null`, `{ "a" : { "b" : null, "c" : [ { "d" : null } ] } }`, `{"a":{"c":[{"d":null}]}}`},
		{`{"a":"<b>"}`, `{}`, `{"a":"\u003cb\u003e"}`},
		{`{"a":1e400}`, `{"b":12345678901234567890123}`, `{"a":1e400,"b":12345678901234567890123}`},
	} {
		got, err := into.Run(t.Context(), json.RawMessage(test.target), json.RawMessage(test.patch))
		if err != nil || string(got) != test.want {
			t.Errorf("%s merged into %s: got %s, %v; want %s", test.patch, test.target, got, err, test.want)
		}
	}
}
