package sharedata

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// UpdateIf is Update, provided that the ShareData is still at the cursor, as a
// Snapshot has it. Otherwise it changes nothing and fails with ErrMoved.
func (m *Manager) UpdateIf(ctx context.Context, id string, cursor replay.Cursor, state any) (Snapshot, error) {
	raw, err := toState(state)
	if err != nil {
		return Snapshot{}, fmt.Errorf("update %.60q: %w", id, err)
	}
	if cursor.IsZero() {
		return Snapshot{}, fmt.Errorf("%w: the zero cursor is before %.60q", ErrMoved, id)
	}
	return m.snapshotAfter(ctx, id, &request{change: change{kind: changeUpdate, state: raw, expect: cursor}})
}

// Modify replaces the state by what modify returns for the current one, in one step:
// no other change comes between. It is for the service's own use, like Update, and
// past all registered functions.
//
// modify runs like a Function: with its deadline (Options.FunctionTimeout), again if
// another process was first, and it must not wait for the ShareData. The bytes that
// it is given are its own. Its error leaves the state as it is, and errors.As finds
// it in the error of Modify: a *Rejection, or else a *FunctionError. Otherwise Modify
// fails like Update.
func (m *Manager) Modify(ctx context.Context, id string, modify func(ctx context.Context, state json.RawMessage) (json.RawMessage, error)) (Snapshot, error) {
	function := NewRawFunction("", func(ctx context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		return modify(ctx, state)
	})
	return m.snapshotAfter(ctx, id, &request{change: change{kind: changeUpdate, binding: binding{function: function}}})
}
