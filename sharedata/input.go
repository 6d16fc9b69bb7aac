package sharedata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// InputError says where and why proposed data is not what a function takes.
// errors.Is finds ErrInvalidInput in it. A function may return one to fail a
// proposal that it cannot read; to decide against a proposal, it rejects.
type InputError struct {
	// FunctionID is the function's.
	FunctionID string
	// Pointer is the JSON Pointer (RFC 6901) to the place; empty for the whole
	// data, and where the place is not known.
	Pointer string
	// Problem says what is wrong there.
	Problem string
}

// Bounds of an InputError in bytes: it is sent to the proposer, and parts of it
// may quote what was proposed.
const (
	maxProblemBytes = 300
	maxPointerBytes = 300
)

// invalidInput returns an *InputError within the bounds: the problem is cut, and
// a pointer that is too long is replaced by that to an enclosing value.
func invalidInput(functionID, pointer, problem string) *InputError {
	if len(problem) > maxProblemBytes {
		problem = strings.ToValidUTF8(problem[:maxProblemBytes], "") + "…"
	}
	for len(pointer) > maxPointerBytes {
		pointer = string(jsontext.Pointer(pointer).Parent())
	}
	return &InputError{FunctionID: functionID, Pointer: pointer, Problem: problem}
}

// Error names the function, the place and the problem.
func (e *InputError) Error() string {
	place := e.Pointer
	if place == "" {
		place = "the proposed data"
	}
	return fmt.Sprintf("%v for function %.60q: %.100s: %s", ErrInvalidInput, e.FunctionID, place, e.Problem)
}

// Unwrap returns ErrInvalidInput.
func (e *InputError) Unwrap() error { return ErrInvalidInput }

// decodeInput decodes proposed data into the value, which is a pointer. The
// error is an *InputError.
func decodeInput(functionID string, input json.RawMessage, value any) error {
	if err := json.Unmarshal(input, value); err != nil {
		return decodeError(functionID, input, err)
	}
	return nil
}

// decodeStrictInput is decodeInput that refuses members which the value's type
// does not have.
func decodeStrictInput(functionID string, input json.RawMessage, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(value)
	if err == nil {
		return nil
	}
	if pointer, found := unknownMember(input, value); found {
		return invalidInput(functionID, string(pointer), fmt.Sprintf("the function knows no member %.60q", pointer.LastToken()))
	}
	return decodeError(functionID, input, err)
}

// unknownMember returns the JSON Pointer to the first member that the value's
// type does not have. encoding/json decides whether there is one, but does not
// say where; this decoder does. It overwrites the value.
func unknownMember(input json.RawMessage, value any) (pointer jsontext.Pointer, found bool) {
	err := jsonv2.Unmarshal(input, value, jsonv1.DefaultOptionsV1(),
		jsonv1.ReportErrorsWithLegacySemantics(false), jsonv2.RejectUnknownMembers(true))
	semantic, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok || !errors.Is(err, jsonv2.ErrUnknownName) {
		return "", false
	}
	return semantic.JSONPointer, true
}

// decodeError returns an *InputError for an error of encoding/json.
func decodeError(functionID string, input json.RawMessage, err error) error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		problem := fmt.Sprintf("got %.60s, want a Go %s", mistyped.Value, mistyped.Type)
		return invalidInput(functionID, pointerAt(input, mistyped.Offset), problem)
	}
	return invalidInput(functionID, "", err.Error())
}
