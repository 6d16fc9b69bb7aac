package client

import (
	"encoding/json"
	"fmt"
)

// Event is what a subscription delivers: *State, *Transaction, *Lifecycle or
// *Gap. Events are immutable: the raw JSON in them must not be written to.
type Event interface {
	// size estimates the memory that the event holds, in bytes.
	size() int
	// state is the state in the event as JSON; nil where there is none.
	state() json.RawMessage
}

// State is a snapshot. It is the first event of a subscription, and the first
// after each reconnect.
type State struct {
	ShareDataID  string
	CurrentState json.RawMessage
	// Cursor is the snapshot's position and Revision its number in the
	// history; empty and 0 from a server that sends none.
	Cursor   string
	Revision uint64
	// LastTransactionID is that of the newest transaction; empty where there
	// was none yet.
	LastTransactionID string
	// Resumed says that nothing was missed: all events between the one before this
	// and the snapshot follow, marked Replayed. Where it is false, this is the
	// first State, or a Gap came before.
	Resumed bool
	// Replaying is how many replayed events follow; 0 also where the server
	// does not say.
	Replaying uint64
}

// Transaction is the verdict on a proposal, of this or another client.
type Transaction struct {
	ShareDataID   string
	TransactionID string
	// Accepted is false for a proposal that its function rejected.
	Accepted bool
	// CurrentState is the state after the transaction; nil where Replayed.
	CurrentState json.RawMessage
	// Replayed says that the change was made while the subscription was
	// interrupted, before the State that was delivered last.
	Replayed bool
	// Revision is its number in the history, and FunctionID the function of the
	// proposal; 0 and empty from a server that does not send them.
	Revision   uint64
	FunctionID string
}

// Lifecycle is a change made without a proposal: the whole state was replaced,
// or the ShareData was removed.
type Lifecycle struct {
	ShareDataID string
	// Removed says that the ShareData is gone and the subscription with it:
	// this is its last event. Otherwise the whole state was replaced.
	Removed bool
	// CurrentState is the new state; nil where Removed or Replayed.
	CurrentState json.RawMessage
	// Replayed is as in Transaction.
	Replayed bool
	// Cursor and Revision are the position of the change; empty and 0 from a
	// server that sends none.
	Cursor   string
	Revision uint64
}

// Gap says that events were missed and will not be delivered: the server could
// not continue from Cursor. A State follows, or the Lifecycle event that says
// Removed.
type Gap struct {
	ShareDataID string
	// Cursor is that of the last event before the gap; empty where there was
	// none to resume from.
	Cursor string
	// Reason is a text for a log.
	Reason string
}

// DecodeState decodes the state that the event carries into a T. It fails with
// ErrNoState where there is none: in a Gap, a removal, and replayed events.
func DecodeState[T any](event Event) (T, error) {
	var state T
	if event == nil || event.state() == nil {
		return state, fmt.Errorf("client: %w: %T", ErrNoState, event)
	}
	if err := json.Unmarshal(event.state(), &state); err != nil {
		return state, fmt.Errorf("client: state of %T does not fit %T: %w", event, state, err)
	}
	return state, nil
}

// eventOverhead estimates the size of an event besides its texts, in bytes.
const eventOverhead = 160

func (e *State) size() int {
	return eventOverhead + len(e.CurrentState) + len(e.Cursor) + len(e.LastTransactionID)
}

func (e *Transaction) size() int {
	return eventOverhead + len(e.CurrentState) + len(e.TransactionID) + len(e.FunctionID)
}

func (e *Lifecycle) size() int { return eventOverhead + len(e.CurrentState) + len(e.Cursor) }

func (e *Gap) size() int { return eventOverhead + len(e.Cursor) + len(e.Reason) }

func (e *State) state() json.RawMessage       { return e.CurrentState }
func (e *Transaction) state() json.RawMessage { return e.CurrentState }
func (e *Lifecycle) state() json.RawMessage   { return e.CurrentState }
func (e *Gap) state() json.RawMessage         { return nil }
