package jsonpatch_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// The public test cases for RFC 6902, which include the examples of its appendix A.
// Those that use move, copy or test must be refused, and say why.
func TestApply_PublicTestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/json-patch-tests/*.json")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Comment, Error       string
			Doc, Patch, Expected json.RawMessage
		}
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			result, err := jsonpatch.Apply(c.Doc, c.Patch)
			var refused *jsonpatch.Error
			switch {
			case err != nil && !(errors.As(err, &refused) && errors.Is(err, jsonpatch.ErrPatch)):
				t.Errorf("%s: %s: the error is %v", file, c.Comment, err)
			case unsupported(c.Patch):
				if err == nil || c.Error == "" && !strings.Contains(err.Error(), "add, remove or replace") {
					t.Errorf("%s: %s: %s, %v", file, c.Comment, result, err)
				}
			case c.Error != "":
				if err == nil {
					t.Errorf("%s: %s: %s gives %s", file, c.Comment, c.Patch, result)
				}
			case err != nil:
				t.Errorf("%s: %s: %v", file, c.Comment, err)
			case c.Expected != nil && !sameValue(t, result, c.Expected):
				t.Errorf("%s: %s: %s", file, c.Comment, result)
			}
		}
	}
}

func unsupported(patch []byte) bool {
	var operations []map[string]any
	_ = json.Unmarshal(patch, &operations)
	for _, operation := range operations {
		switch operation["op"] {
		case "move", "copy", "test":
			return true
		}
	}
	return false
}
