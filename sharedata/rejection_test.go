package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// rejects is a function that returns the error.
func rejects(err error) *sharedata.Function {
	return sharedata.NewFunction("f", func(context.Context, any, any) (any, error) { return nil, err })
}

func TestRejection_VerdictAndRecord(t *testing.T) {
	details := map[string]int{"left": 0}
	for _, test := range []struct {
		name                  string
		err                   error
		code, reason, details string
	}{
		{"reason only", sharedata.Reject("no"), "", "no", ""},
		{"formatted", sharedata.Rejectf("at most %d \xff%s", 3, `"x"`), "", "at most 3 \uFFFD\"x\"", ""},
		{"code", sharedata.RejectWith("sold-out", "no tickets", nil), "sold-out", "no tickets", ""},
		{"code that is not UTF-8", sharedata.RejectWith("sold\xff", "", nil), "sold\uFFFD", "", ""},
		{"details", sharedata.RejectWith("sold-out", "no tickets", details), "sold-out", "no tickets", `{"left":0}`},
		{"raw details", sharedata.RejectWith("", "no", rawJSON(`[1]`)), "", "no", `[1]`},
		{"no raw details", sharedata.RejectWith("", "no", json.RawMessage(nil)), "", "no", ""},
		{"details of null", sharedata.RejectWith("", "no", rawJSON(`null`)), "", "no", `null`},
		{"wrapped", fmt.Errorf("order 7: %w", sharedata.RejectWith("sold-out", "no tickets", nil)), "sold-out", "no tickets", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, verdict, err := run(t, 0, rejects(test.err), 0)
			if err != nil || verdict.Accepted || verdict.Code != test.code || verdict.Reason != test.reason || string(verdict.Details) != test.details {
				t.Errorf("verdict %+v, %v", verdict, err)
			}
			entries := wholeHistory(t, m, "x")
			if e := entries[len(entries)-1]; len(entries) != 2 || e.Accepted || e.Code != test.code || e.Reason != test.reason || string(e.Details) != test.details {
				t.Errorf("recorded %+v", e)
			}
		})
	}
}

// A unit test of a function finds what it rejected with in the error of Run.
func TestRejection_ErrorsAs(t *testing.T) {
	f := rejects(fmt.Errorf("order 7: %w", sharedata.RejectWith("sold-out", "no tickets", []int{0})))
	_, err := f.Run(t.Context(), 0, 0)
	var rejected *sharedata.Rejection
	if !errors.As(err, &rejected) || rejected.Code != "sold-out" || rejected.Reason != "no tickets" || string(rejected.Details) != "[0]" {
		t.Errorf("got %+v, %v", rejected, err)
	}
}

// A rejection that cannot be recorded would make the history unreadable, so it
// is a failure of the function.
func TestRejection_InvalidFailsFunction(t *testing.T) {
	tooDeep := strings.Repeat("[", sharedata.MaxDepth+1) + strings.Repeat("]", sharedata.MaxDepth+1)
	for name, err := range map[string]error{
		"details that are not marshalled":   sharedata.RejectWith("c", "no", math.Inf(1)),
		"raw details that are not JSON":     sharedata.RejectWith("c", "no", rawJSON(`{`)),
		"own details that are not JSON":     &sharedata.Rejection{Reason: "no", Details: rawJSON(`{`)},
		"own details without bytes":         &sharedata.Rejection{Reason: "no", Details: rawJSON(``)},
		"own details with a member twice":   &sharedata.Rejection{Reason: "no", Details: rawJSON(`{"a":1,"a":2}`)},
		"own details that nest too deep":    &sharedata.Rejection{Reason: "no", Details: rawJSON(tooDeep)},
		"wrapped details that are not JSON": fmt.Errorf("wrapped: %w", &sharedata.Rejection{Details: rawJSON(`{`)}),
		"nil":                               (*sharedata.Rejection)(nil),
		"nil, wrapped":                      fmt.Errorf("wrapped: %w", error((*sharedata.Rejection)(nil))),
	} {
		raw := sharedata.NewRawFunction("f", func(context.Context, json.RawMessage, json.RawMessage) (json.RawMessage, error) { return nil, err })
		for kind, f := range map[string]*sharedata.Function{"typed": rejects(err), "raw": raw} {
			t.Run(name+", "+kind, func(t *testing.T) {
				m, verdict, err := run(t, 0, f, 0)
				var failed *sharedata.FunctionError
				var rejected *sharedata.Rejection
				if !errors.As(err, &failed) || errors.As(err, &rejected) {
					t.Errorf("got %+v, %v, want a FunctionError", verdict, err)
				}
				wantHistory(t, m, "x", "1 created")
				if _, err := m.Update(t.Context(), "x", 1); err != nil {
					t.Errorf("after it: %v", err)
				}
			})
		}
	}
}
