package client

import (
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

// This file reads the frames from which events are made: *wire.Transaction and
// *wire.Lifecycle.

// positionOf returns the position after the frame's change; zero values for another
// frame.
func positionOf(frame wire.ServerMessage) (revision uint64, cursor string) {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Revision, frame.TransactionID
	case *wire.Lifecycle:
		return frame.Revision, frame.Cursor
	}
	return 0, ""
}

// isReplayed reports whether the frame is of a replay of the history.
func isReplayed(frame wire.ServerMessage) bool {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Replayed
	case *wire.Lifecycle:
		return frame.Replayed
	}
	return false
}

// eventOf returns the event of the frame. What the client did not ask for is left out.
func (u *catchUp) eventOf(frame wire.ServerMessage) Event {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return &Transaction{
			ShareDataID:   frame.ShareDataID,
			TransactionID: frame.TransactionID,
			Accepted:      frame.Accepted,
			CurrentState:  frame.CurrentState,
			Patch:         u.patchOf(frame.Patch),
			Replayed:      frame.Replayed,
			Revision:      frame.Revision,
			FunctionID:    frame.FunctionID,
			Activity:      u.activityOf(frame.Activity),
		}
	case *wire.Lifecycle:
		return &Lifecycle{
			ShareDataID:  frame.ShareDataID,
			Removed:      frame.Event == wire.EventRemoved,
			CurrentState: frame.CurrentState,
			Patch:        u.patchOf(frame.Patch),
			Replayed:     frame.Replayed,
			Cursor:       frame.Cursor,
			Revision:     frame.Revision,
			Activity:     u.activityOf(frame.Activity),
		}
	}
	panic(fmt.Sprintf("client: %T is no event", frame))
}

func (u *catchUp) patchOf(patch json.RawMessage) json.RawMessage {
	if !u.patched {
		return nil
	}
	return patch
}

// activityOf reads the activity in a frame as far as it can be read.
func (u *catchUp) activityOf(text json.RawMessage) *Activity {
	if text == nil || !u.asked.activity {
		return nil
	}
	var read wire.Activity
	json.Unmarshal(text, &read) // What cannot be read is left out.
	activity := Activity(read)
	return &activity
}
