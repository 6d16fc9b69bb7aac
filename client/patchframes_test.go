package client

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

// Frames of a server that sends patches. The state after an accepted transaction is
// numberState of its revision.

func numberState(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

func numberPatch(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`[{"op":"replace","path":"/n","value":%d}]`, n))
}

// wholeSnapshot has the state, as for a subscriber who does not have it.
func wholeSnapshot(revision, replaying int) *wire.State {
	frame := snapshot("e", revision, replaying)
	frame.CurrentState = numberState(revision)
	frame.StateHash = hashOf(frame.CurrentState)
	frame.LastTransactionID = frame.Cursor
	return frame
}

// includedSnapshot has the state for a subscriber who has only a cursor.
func includedSnapshot(revision, replaying int) *wire.State {
	frame := wholeSnapshot(revision, replaying)
	frame.Resumed = true
	return frame
}

// resumedSnapshot leaves out the state, which the subscriber has or is led to.
func resumedSnapshot(revision, replaying int) *wire.State {
	frame := includedSnapshot(revision, replaying)
	frame.CurrentState = nil
	return frame
}

func skippedSnapshot(revision, skipped int) *wire.State {
	frame := wholeSnapshot(revision, 0)
	frame.Skipped = uint64(skipped)
	return frame
}

func patch(revision int) *wire.Transaction {
	frame := transaction(revision)
	frame.CurrentState, frame.Patch = nil, numberPatch(revision)
	return frame
}

func patchReplayed(revision int) *wire.Transaction {
	frame := patch(revision)
	frame.Replayed = true
	return frame
}

// rejection changes nothing.
func rejection(revision int, replayed bool) *wire.Transaction {
	frame := patch(revision)
	frame.Accepted, frame.Replayed, frame.Patch = false, replayed, nil
	return frame
}

// whole has the state, as where a patch would not be smaller.
func whole(revision int, replayed bool) *wire.Lifecycle {
	frame := updated(revision, replayed)
	frame.CurrentState = numberState(revision)
	return frame
}

// withHash gives the frame the hash of numberState(n).
func withHash(frame *wire.Transaction, n int) *wire.Transaction {
	frame.StateHash = hashOf(numberState(n))
	return frame
}
