package sharedata

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// NewPatchFunction returns a function that says what changes in the state instead of
// returning all of it, for states that are too large to be decoded and encoded for every
// proposal. It reads the parts of the state that it needs from the Document. The
// proposed data is decoded as an I, as by NewFunction.
//
// It returns the Patch to accept, or a *Rejection (see Reject and RejectWith) to
// reject. An empty Patch accepts and changes nothing. A Patch that does not apply to
// the state is a failure, as every other error is.
func NewPatchFunction[I any](id string, f func(ctx context.Context, state Document, input I) (Patch, error)) *Function {
	decodedBy := func(decode func(functionID string, input json.RawMessage, value any) error) rule {
		return func(ctx context.Context, state, input json.RawMessage) (effect, error) {
			var i I
			if err := decode(id, input, &i); err != nil {
				return effect{}, err
			}
			patch, err := f(ctx, Document{state}, i)
			if err != nil {
				return effect{}, checkRejection(err)
			}
			return patch.effectOn(state)
		}
	}
	function := newFunction(id, decodedBy(decodeInput))
	function.strict = decodedBy(decodeStrictInput)
	return function
}

// Document is a state as a patch function reads it. Its paths are JSON Pointers
// (RFC 6901); see Path. To find a value costs the time to pass over the text before it.
type Document struct{ text json.RawMessage }

// Raw returns the whole text. It must not be changed: others share it.
func (d Document) Raw() json.RawMessage { return d.text }

// Get returns the value at the path as JSON; found is false where there is none. It must
// not be changed: others share it.
func (d Document) Get(path string) (value json.RawMessage, found bool) {
	if path == "" {
		return d.text, true // without passing over it
	}
	return jsonpatch.Find(d.text, path)
}

// Decode decodes the value at the path with encoding/json. found is false, and the
// value is left as it is, where there is none. It fails with ErrInvalidState.
func (d Document) Decode(path string, value any) (found bool, err error) {
	raw, found := d.Get(path)
	if !found {
		return false, nil
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return true, fmt.Errorf("%w: at %.60q: %w", ErrInvalidState, path, err)
	}
	return true, nil
}

// Path returns the JSON Pointer (RFC 6901) to the value that is reached through the
// names and indices.
func Path(names ...string) string { return jsonPointer(names) }

// Patch is a list of changes to a state (RFC 6902). Each is made to what the one before
// it left. The zero Patch changes nothing. Its methods add a change; an error of one
// fails the function that returns the Patch. A copy of a Patch is one of its own:
// what is added to either does not change the other.
//
// Changes in the order in which their places come in the state cost one pass over the
// state. Each change that precedes the one before it costs another pass, and a Patch
// fails where these would copy more than 1 GiB.
type Patch struct {
	text []byte // a JSON array without the bracket at its end; empty for no changes
	err  error
	// owner is the Patch that may append to text in place: a copy shares its memory.
	owner *Patch
}

var errNoOperations = fmt.Errorf("%w: a patch is an array of operations (RFC 6902)", ErrInvalidState)

// RawPatch returns a patch that is a JSON text (RFC 6902), which may have the operations
// add, remove and replace. An invalid one fails the function that returns it.
func RawPatch(text json.RawMessage) Patch {
	end := bytes.LastIndexByte(text, ']')
	if end < 0 || len(bytes.TrimSpace(text[end+1:])) > 0 {
		return Patch{err: errNoOperations}
	}
	body := bytes.TrimSpace(text[:end])
	switch string(body) {
	case "[":
		return Patch{}
	case "":
		return Patch{err: errNoOperations}
	}
	return Patch{text: bytes.Clone(body)}
}

// Add adds a value: a new element before the one that the path names (or, with the index
// "-", at the end), or the member of an object, in place of one that is there. The value
// is marshalled by encoding/json.
func (p *Patch) Add(path string, value any) { p.add("add", path, value) }

// Replace replaces the value at the path, which must be there. The empty path is that of
// the whole state. The value is marshalled by encoding/json.
func (p *Patch) Replace(path string, value any) { p.add("replace", path, value) }

// Remove removes the value at the path, which must be there.
func (p *Patch) Remove(path string) { p.begin("remove", path); p.text = append(p.text, '}') }

func (p *Patch) add(operation, path string, value any) {
	raw, err := json.Marshal(value)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%w: the value for %.60q: %w", ErrInvalidState, path, err)
	}
	p.begin(operation, path)
	p.text = append(append(append(p.text, `,"value":`...), raw...), '}')
}

// begin begins an operation.
func (p *Patch) begin(operation, path string) {
	if p.owner != p {
		p.text, p.owner = slices.Clip(p.text), p
	}
	separator := byte(',')
	if len(p.text) == 0 {
		separator = '['
	}
	p.text = append(append(append(append(p.text, separator), `{"op":"`...), operation...), `","path":`...)
	// The only error is for invalid UTF-8, which AppendQuote replaces; such a path names
	// no value.
	p.text, _ = jsontext.AppendQuote(p.text, path)
}

// effectOn returns what the patch does to a state.
func (p *Patch) effectOn(state json.RawMessage) (effect, error) {
	switch {
	case p.err != nil:
		return effect{}, p.err
	case len(p.text) == 0:
		return effect{patch: noChange}, nil
	}
	patch := append(slices.Clip(p.text), ']') // its memory goes into the entry
	if !jsontext.Value(patch).IsValid() {
		return effect{}, fmt.Errorf("%w: the patch is not valid JSON in UTF-8", ErrInvalidState)
	}
	return effectOfPatch(state, jsonpatch.Canonical(patch))
}
