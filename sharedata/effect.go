package sharedata

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/internal/jsonpatch"
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

// effectOf compares the state that a function returned, in canonical form, with the one
// that it was given. The state after the change is the text that the patch leads to,
// so that everybody who applies the patch has the same bytes.
func effectOf(before, after json.RawMessage) effect {
	patch, ok := jsonpatch.Diff(before, after)
	switch {
	case !ok:
		return effect{state: after}
	case string(patch) == string(noChange):
		return effect{patch: patch}
	}
	next, err := jsonpatch.Apply(before, patch)
	if err != nil {
		return effect{state: after} // unreachable: Diff's patches apply
	}
	return effect{state: next, patch: patch}
}

// stateAfter returns the state that an entry leads to from a state; nil where it is the
// same. It fails where the entry does not record what it changed, and where its patch
// does not apply.
func stateAfter(before json.RawMessage, e *Entry) (json.RawMessage, error) {
	switch {
	case !e.recordsEffect():
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
