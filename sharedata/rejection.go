package sharedata

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Rejection is the error by which a function decides against a proposal. It is
// a verdict: it is recorded in the transaction and sent to the proposer. Every
// other error of a function is a failure and leaves no transaction.
//
// errors.As finds it in what Function.Run returns, for tests of functions. Do not
// change a Rejection after it was returned.
//
// Code, Reason and Details are stored with the transaction for as long as the
// history, so keep them short: for the code a word of a fixed set, for the rest
// up to a few KiB.
type Rejection struct {
	// Code says for programs why the proposal is rejected, for example
	// "sold-out"; empty for none, which clients see as "rejected". The codes of
	// the wire protocol (package schemas/codes) have meanings of their own:
	// clients propose again on "busy" or "unavailable". Use others.
	Code string
	// Reason explains the rejection to people, and what would be accepted.
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
// and details: raw JSON (json.RawMessage), a value that encoding/json marshals,
// or nil for none. Where the details are not valid JSON it returns another error,
// which fails the function.
func RejectWith(code, reason string, details any) error {
	r := &Rejection{Code: code, Reason: reason}
	if raw, isRaw := details.(json.RawMessage); details == nil || isRaw && raw == nil {
		return r
	}
	raw, err := toJSON(details)
	if err != nil {
		return fmt.Errorf("details of the rejection %q: %w", code, err)
	}
	r.Details = raw
	return r
}

var errNilRejection = errors.New("it returned a nil *Rejection; return nil as an error to accept, or use Reject to reject")

// checkRejection returns the error of a function. Where that is a *Rejection that
// cannot be recorded it returns another error, which fails the function.
func checkRejection(err error) error {
	rejected, ok := errors.AsType[*Rejection](err)
	switch {
	case !ok:
		return err
	case rejected == nil:
		return errNilRejection
	case rejected.Details == nil:
		return err
	}
	if invalid := validJSON(rejected.Details); invalid != nil {
		return fmt.Errorf("details of the rejection %q: %w", rejected.Code, invalid)
	}
	return err
}
