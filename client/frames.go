package client

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

// numbers returns the position of a transaction or lifecycle frame.
func numbers(frame wire.ServerMessage) (revision uint64, cursor string) {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Revision, frame.TransactionID
	case *wire.Lifecycle:
		return frame.Revision, frame.Cursor
	}
	return 0, ""
}

func isReplayed(frame wire.ServerMessage) bool {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Replayed
	case *wire.Lifecycle:
		return frame.Replayed
	}
	return false
}

func eventOf(frame wire.ServerMessage) Event {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return &Transaction{
			ShareDataID:   frame.ShareDataID,
			TransactionID: frame.TransactionID,
			Accepted:      frame.Accepted,
			CurrentState:  frame.CurrentState,
			Replayed:      frame.Replayed,
			Revision:      frame.Revision,
			FunctionID:    frame.FunctionID,
		}
	case *wire.Lifecycle:
		return &Lifecycle{
			ShareDataID:  frame.ShareDataID,
			Removed:      frame.Event == wire.EventRemoved,
			CurrentState: frame.CurrentState,
			Replayed:     frame.Replayed,
			Cursor:       frame.Cursor,
			Revision:     frame.Revision,
		}
	}
	panic(fmt.Sprintf("client: %T is no event", frame))
}
