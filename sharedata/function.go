package sharedata

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Function is a rule by which proposals are judged. It is immutable and may be
// registered for any number of ShareData and managers.
//
// A function is given the current state and the proposed data as values of its
// own, so whatever it does to them has no effect unless it is returned. It may
// be run again for the same proposal when another process was first to append,
// so it should have no effects besides its result. It runs on a goroutine of
// its own and must return soon after its context ends.
type Function struct {
	id      string
	timeout time.Duration // 0: the manager's
	schema  *inputSchema  // nil: no schema, or one that does not compile
	invalid error         // why the schema does not compile
	apply   func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error)
	// abandoned counts the runs that ignore that their deadline is over. It is
	// shared with the copies that With… make.
	abandoned *atomic.Int32
}

// NewFunction returns a function that takes the state as an S and the proposed
// data as an I, both decoded by encoding/json for every run. It returns the
// new state to accept, or the error of Reject to reject.
//
// A function without an id is internal: no functionId resolves to it, so it
// cannot be reached from the wire, only through Proposal.Function.
func NewFunction[S, I any](id string, f func(ctx context.Context, state S, input I) (S, error)) *Function {
	return newFunction(id, func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error) {
		var s S
		if err := json.Unmarshal(state, &s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
		}
		var i I
		if err := json.Unmarshal(input, &i); err != nil {
			return nil, decodeError(id, input, err)
		}
		s, err := f(ctx, s, i)
		if err != nil {
			return nil, err
		}
		next, err := marshal(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
		}
		return next, nil
	})
}

// NewRawFunction is NewFunction for functions that work on the JSON texts. The
// bytes that f is given are its own; those that it returns are copied.
func NewRawFunction(id string, f func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error)) *Function {
	return newFunction(id, func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error) {
		next, err := f(ctx, bytes.Clone(state), bytes.Clone(input))
		if err != nil {
			return nil, err
		}
		next = bytes.Clone(next)
		if err := validJSON(next); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
		}
		return next, nil
	})
}

func newFunction(id string, apply func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error)) *Function {
	return &Function{id: id, apply: apply, abandoned: new(atomic.Int32)}
}

// decodeError turns what encoding/json says of proposed data into an
// *InputError that names the place.
func decodeError(functionID string, input json.RawMessage, err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		problem := fmt.Sprintf("got %.60s, want a Go %s", mistyped.Value, mistyped.Type)
		return invalidInput(functionID, pointerAt(input, mistyped.Offset), problem)
	}
	return invalidInput(functionID, "", err.Error())
}

// ID is what a functionId on the wire is compared with; empty for an internal
// function.
func (f *Function) ID() string { return f.id }

// WithInputSchema returns a copy of the function that proposed data must fit
// the JSON Schema to reach: draft 2020-12 unless it names another, without
// references to other documents. A proposal that does not fit fails with an
// *InputError. A schema that does not compile makes the registration fail.
func (f *Function) WithInputSchema(schema string) *Function {
	with := *f
	with.schema, with.invalid = compileSchema(schema)
	return &with
}

// WithTimeout returns a copy of the function with a deadline of its own. 0 is
// the manager's default, -1 none; less makes the registration fail.
func (f *Function) WithTimeout(timeout time.Duration) *Function {
	with := *f
	with.timeout = timeout
	return &with
}

// check refuses what could not be called: a schema that does not compile, a
// timeout that is none, or an id that is not text.
func (f *Function) check() error {
	switch {
	case f.invalid != nil:
		return fmt.Errorf("%w: %q: %w", ErrInvalidFunction, f.id, f.invalid)
	case f.timeout < -1:
		return fmt.Errorf("%w: %q: its timeout is %v: use 0 for the manager's, or -1 for none", ErrInvalidFunction, f.id, f.timeout)
	case !utf8.ValidString(f.id):
		return fmt.Errorf("%w: the id %q is not UTF-8", ErrInvalidFunction, f.id)
	}
	return nil
}

// checkInput refuses proposed data that breaks the function's schema.
func (f *Function) checkInput(data json.RawMessage) error {
	if f.schema == nil {
		return nil
	}
	pointer, problem, ok := f.schema.check(data)
	if ok {
		return nil
	}
	return invalidInput(f.id, pointer, problem)
}
