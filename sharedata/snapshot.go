package sharedata

import (
	"encoding/json"

	"github.com/safe-go/safe/replay"
)

// Snapshot is a ShareData's whole state at one position of its history.
type Snapshot struct {
	// ID is the ShareData's.
	ID string
	// Kind is the name of its Kind; empty where it was created without one.
	Kind string
	// State is one valid JSON value in UTF-8. Do not change its bytes: other
	// callers share them.
	State json.RawMessage
	// StateHash is HashState(State), which is also in the entry at the Cursor.
	StateHash Hash
	// Cursor is the position of the newest entry.
	Cursor replay.Cursor
	// LastTransaction is the position of the newest transaction; zero before
	// the first one.
	LastTransaction replay.Cursor
}

// Decode decodes a state as a T with encoding/json. It fails with
// ErrInvalidState.
func Decode[T any](state json.RawMessage) (T, error) {
	var value T
	if err := json.Unmarshal(state, &value); err != nil {
		return value, invalidState(err)
	}
	return value, nil
}
