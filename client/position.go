package client

import (
	"encoding/json"

	"github.com/safe-go/safe/internal/wire"
)

// This file decides which state belongs to a position.

// position is a point in the history of one ShareData as a client knows it.
// The zero position is the one before the first snapshot and after a Gap: there
// is nothing to resume from.
type position struct {
	known    bool
	cursor   string // empty where the server sent none
	revision uint64 // 0 where the server sent none
	// lastTransactionID is that of the newest transaction; empty for none, or where it
	// is not known. state is the state at the cursor; nil where it is not known.
	lastTransactionID string
	state             *lazyState
}

// isAt reports whether both are the same point in the history.
func (p position) isAt(q position) bool {
	return p.known == q.known && p.cursor == q.cursor && p.revision == q.revision
}

// positionAt returns the position of a snapshot. Where the snapshot has no state, the
// state is the subscriber's, if nothing was missed, and otherwise not known yet.
func (u *catchUp) positionAt(snapshot *wire.State) position {
	at := position{known: true, cursor: snapshot.Cursor, revision: snapshot.Revision, lastTransactionID: snapshot.LastTransactionID}
	if at.cursor == "" {
		at.cursor = snapshot.LastTransactionID
	}
	hash := ""
	if u.patched {
		hash = snapshot.StateHash
	}
	switch {
	case snapshot.CurrentState != nil:
		at.state = wholeState(snapshot.CurrentState, hash)
	case at.cursor == u.position.cursor:
		at.state = u.position.state.patched(nil, hash)
	}
	return at
}

// resumes reports whether a snapshot without a state can be understood: the
// subscriber asked for patches and has the state from which they lead to the snapshot.
func (u *catchUp) resumes(snapshot *wire.State) bool {
	from := u.position
	if !u.asked.patches || snapshot.StateHash == "" || from.state == nil || from.cursor == "" {
		return false
	}
	return from.cursor == snapshot.Cursor ||
		snapshot.HasReplaying && snapshot.Replaying > 0 && (from.revision == 0 || from.revision < snapshot.Revision)
}

// skips reports whether the snapshot takes the place of entries that the connection was
// too slow for, and of no others.
func (u *catchUp) skips(snapshot *wire.State) bool {
	return u.asked.conflate && snapshot.Skipped > 0 && snapshot.CurrentState != nil &&
		(u.phase == replaying || u.phase == live) &&
		snapshot.Revision == u.position.revision+snapshot.Skipped
}

// stateAfter returns the state after the frame's change; nil where it is not known.
func (u *catchUp) stateAfter(frame wire.ServerMessage) *lazyState {
	var whole, patch json.RawMessage
	var hash string
	rejected := false
	switch frame := frame.(type) {
	case *wire.Transaction:
		whole, patch, hash, rejected = frame.CurrentState, frame.Patch, frame.StateHash, !frame.Accepted
	case *wire.Lifecycle:
		whole, patch, hash = frame.CurrentState, frame.Patch, frame.StateHash
	}
	before := u.position.state
	switch {
	case !u.patched && whole != nil:
		return wholeState(whole, "")
	case !u.patched:
		return nil
	case whole != nil:
		return wholeState(whole, hash)
	case before == nil:
		return nil
	case patch == nil && !rejected && u.phase == replaying && u.snapshotAt.state != nil:
		// The server sent the state because it has not recorded what all of these
		// changed.
		return nil
	}
	return before.patched(patch, hash)
}

// reachSnapshot ends a counted replay: its last event is at the snapshot, or before it
// where no frame is sent for the remaining revisions.
func (u *catchUp) reachSnapshot(replayed []item) {
	if len(replayed) == 0 {
		return
	}
	at, last := u.snapshotAt, &replayed[len(replayed)-1]
	reached := u.position.cursor == at.cursor
	if !reached && u.position.revision >= at.revision {
		return
	}
	if at.state == nil && u.position.state != nil {
		at.state = u.position.state.patched(nil, u.snapshot.StateHash)
	}
	u.position, last.after = at, at
	if reached {
		last.state = at.state
	}
}
