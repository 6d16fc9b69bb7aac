package sharedata

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Function is a rule that evaluates proposals. It is immutable and may be
// registered for any number of ShareData and managers.
//
// A function gets the current state and the proposed data as values of its own:
// changing them has no effect unless they are returned. It must return soon after
// its context ends; a run that does not return is left behind, and goes on beside
// later ones. It may run again for the same proposal if another process appended
// first, so it should have no effects besides its result.
type Function struct {
	id      string
	timeout time.Duration // 0: the manager's
	schema  *inputSchema  // nil: no schema, or one that does not compile
	invalid error         // why the schema does not compile
	apply   rule
	// strict is apply with unknown members of the input refused; nil for a raw
	// function.
	strict        rule
	proofRequired bool
	// calls is shared with the copies that the With methods make.
	calls *functionCalls
}

// rule computes what a proposal does to the state, or returns an error to reject or
// to fail.
type rule func(ctx context.Context, state, input json.RawMessage) (effect, error)

// NewFunction returns a function that takes the state as an S and the proposed
// data as an I, both decoded by encoding/json for every run. It returns the
// new state to accept, or a *Rejection (see Reject and RejectWith) to reject.
// Every other error is a failure, which leaves no transaction.
//
// A function without an id is internal: it cannot be proposed to by id, so
// clients cannot reach it, only Proposal.Function can.
func NewFunction[S, I any](id string, f func(ctx context.Context, state S, input I) (S, error)) *Function {
	decodedBy := func(decode func(functionID string, input json.RawMessage, value any) error) rule {
		return func(ctx context.Context, state, input json.RawMessage) (effect, error) {
			var s S
			if err := json.Unmarshal(state, &s); err != nil {
				return effect{}, invalidState(err)
			}
			var i I
			if err := decode(id, input, &i); err != nil {
				return effect{}, err
			}
			s, err := f(ctx, s, i)
			if err != nil {
				return effect{}, checkRejection(err)
			}
			next, err := json.Marshal(s)
			if err != nil {
				return effect{}, invalidState(err)
			}
			return effectOf(state, next)
		}
	}
	function := newFunction(id, decodedBy(decodeInput))
	function.strict = decodedBy(decodeStrictInput)
	return function
}

// NewRawFunction is NewFunction for functions that work on JSON texts. The
// texts that f gets are copies, and the text that it returns is copied. See
// NewPatchFunction for states that are too large to be written as a whole each time.
func NewRawFunction(id string, f func(ctx context.Context, state, input json.RawMessage) (json.RawMessage, error)) *Function {
	apply := func(ctx context.Context, state, input json.RawMessage) (effect, error) {
		next, err := f(ctx, bytes.Clone(state), bytes.Clone(input))
		if err != nil {
			return effect{}, checkRejection(err)
		}
		by, err := effectOf(state, next)
		if by.patch == nil {
			by.state = bytes.Clone(by.state) // a patch shares nothing with it
		}
		return by, err
	}
	return newFunction(id, apply)
}

func newFunction(id string, apply rule) *Function {
	return &Function{id: id, apply: apply, calls: &functionCalls{}}
}

// ID returns the id by which the function is proposed to; empty for an internal
// function.
func (f *Function) ID() string { return f.id }

// WithInputSchema returns a copy of the function with a JSON Schema that proposed
// data must fit: of draft 2020-12 unless it names another one, and without
// references to other documents. A proposal that does not fit fails with an
// *InputError, and the function does not run. A schema that does not compile
// makes the registration fail with ErrInvalidFunction.
func (f *Function) WithInputSchema(schema string) *Function {
	with := *f
	with.schema, with.invalid = compileSchema(schema)
	return &with
}

// WithStrictInput returns a copy of the function that refuses input with members
// which its Go type does not have, at any depth: the proposal fails with an
// *InputError that names the member. Without it such members are ignored, as
// encoding/json does, so that a misspelled member counts as missing.
//
// Names are compared as by encoding/json, which ignores case. Maps, values of
// type any, raw JSON and types with an UnmarshalJSON of their own take any
// members. A function of NewRawFunction has no type to compare with, so nothing
// changes for it: give it a schema with "additionalProperties": false.
func (f *Function) WithStrictInput() *Function {
	with := *f
	if f.strict != nil {
		with.apply = f.strict
	}
	return &with
}

// WithTimeout returns a copy of the function with a deadline of its own for each
// run. 0 is Options.FunctionTimeout, -1 is none. Less makes the registration fail
// with ErrInvalidFunction.
func (f *Function) WithTimeout(timeout time.Duration) *Function {
	with := *f
	with.timeout = timeout
	return &with
}

// WithRequiredProof returns a copy of the function that requires a proof: a proposal
// without one fails with ErrProofRequired. A manager without Options.ProofVerifier
// refuses to register it, with ErrInvalidFunction. Run verifies no proofs.
func (f *Function) WithRequiredProof() *Function {
	with := *f
	with.proofRequired = true
	return &with
}

// check returns an error for a function that cannot be called: its schema does
// not compile, its timeout is invalid, or its id is not UTF-8.
func (f *Function) check() error {
	switch {
	case f.invalid != nil:
		return fmt.Errorf("%w: the schema of %q: %w", ErrInvalidFunction, f.id, f.invalid)
	case f.timeout < -1:
		return fmt.Errorf("%w: the timeout of %q is %v; use 0 for the manager's, or -1 for none", ErrInvalidFunction, f.id, f.timeout)
	}
	return checkFunctionID(f.id)
}

// checkInput returns an *InputError for proposed data that does not fit the
// function's schema.
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

// timeoutOr returns the function's deadline, which is the default unless it has one
// of its own. It is not positive for none.
func (f *Function) timeoutOr(byDefault time.Duration) time.Duration {
	if f.timeout != 0 {
		return f.timeout
	}
	return byDefault
}
