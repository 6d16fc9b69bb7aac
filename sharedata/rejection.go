package sharedata

import (
	"encoding/json"
	"fmt"
)

// Rejection is the error by which a function rejects a proposal. It is a verdict:
// it is recorded in the transaction and sent to the proposer. Any other error of
// a function is a failure and leaves no transaction. Tests of functions find it
// with errors.As.
type Rejection struct {
	// Code says for programs why the proposal is rejected; empty for none, which
	// clients see as "rejected".
	Code string
	// Reason says it for people, and what to propose instead.
	Reason string
	// Details is what else there is to say: one JSON value, or nil for nothing.
	Details json.RawMessage
}

// Error returns the reason.
func (r *Rejection) Error() string { return r.Reason }

// Reject returns a *Rejection with a reason and nothing else.
func Reject(reason string) error { return &Rejection{Reason: reason} }

// Rejectf is Reject with the reason formatted as by fmt.Sprintf.
func Rejectf(format string, values ...any) error {
	return &Rejection{Reason: fmt.Sprintf(format, values...)}
}

// RejectWith returns a *Rejection with a code for programs, a reason for people,
// and details: raw JSON (json.RawMessage), anything that encoding/json marshals,
// or nil for none. Details that cannot be marshalled are a failure of the
// function instead.
func RejectWith(code, reason string, details any) error {
	r := &Rejection{Code: code, Reason: reason}
	if details == nil {
		return r
	}
	raw, err := toJSON(details)
	if err != nil {
		return fmt.Errorf("details of the rejection %q: %w", code, err)
	}
	r.Details = raw
	return r
}
