package sharedata

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/nesting"
)

// effect is what a change does to the state.
type effect struct {
	// state is the one after the change; nil where the change leaves it as it is.
	state json.RawMessage
	// patch leads from the state before the change to that after it, and is [] where
	// the two are the same; nil where the whole state is recorded, or nothing.
	patch json.RawMessage
}

// noChange is the patch of a change that leaves the state as it is.
var noChange = json.RawMessage("[]")

// effectOf compares the state that a function returned with the one that it was given.
// The state after the change is the text that the patch leads to, so that everybody who
// applies the patch has the same bytes. It fails for a text that is no valid state.
//
// Only the patch is searched for names that an object has twice: the state before has
// none, and Diff puts an object that has some into the patch as a whole.
func effectOf(before, after json.RawMessage) (effect, error) {
	if !jsontext.Value(after).IsValid(jsontext.AllowDuplicateNames(true)) {
		return effect{}, invalidState(validJSON(after))
	}
	after = jsonpatch.Canonical(after)
	patch, ok := jsonpatch.Diff(before, after)
	if !ok {
		return effect{state: after}, invalidState(validJSON(after))
	}
	return effectOfPatch(before, patch)
}

// effectOfPatch returns what a canonical patch does to a state. It fails for a patch
// that does not apply, or that leads to no valid state.
func effectOfPatch(before, patch json.RawMessage) (effect, error) {
	if string(patch) == string(noChange) {
		return effect{patch: noChange}, nil
	}
	next, err := jsonpatch.Apply(before, patch)
	switch {
	case err != nil && !jsontext.Value(patch).IsValid():
		return effect{}, invalidState(validJSON(patch)) // which says where
	case err != nil:
		return effect{}, invalidState(fmt.Errorf("the patch does not apply: %w", err))
	}
	// A path has a slash for each level that it leads down.
	if nesting.OffsetBeyond(patch, MaxDepth-bytes.Count(patch, []byte("/"))) >= 0 && nesting.OffsetBeyond(next, MaxDepth) >= 0 {
		return effect{}, invalidState(errTooDeep)
	}
	if len(patch) >= len(next) {
		patch = nil
	}
	return effect{state: next, patch: patch}, nil
}

func invalidState(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalidState, err)
}

// stateAfter returns the state that an entry leads to from a state; nil where it is the
// same. It fails where the entry does not record what it changed, and where its patch
// does not apply.
func stateAfter(before json.RawMessage, e *Entry) (json.RawMessage, error) {
	switch {
	case !e.RecordsEffect():
		return nil, fmt.Errorf("%w: the entry at %s does not record what it changed", ErrStateUnknown, e.Cursor)
	case e.NewState != nil:
		return e.NewState, nil
	case e.Patch == nil || string(e.Patch) == string(noChange):
		return nil, nil
	case before == nil:
		return nil, fmt.Errorf("%w: the state before the entry at %s is not kept", ErrStateUnknown, e.Cursor)
	}
	next, err := jsonpatch.Apply(before, e.Patch)
	if err != nil {
		return nil, &ChainError{Cursor: e.Cursor, Problem: "its patch does not apply to the state before it: " + err.Error()}
	}
	return next, nil
}
