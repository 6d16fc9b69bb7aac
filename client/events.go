package client

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is what a subscription delivers: *State, *Transaction, *Lifecycle or
// *Gap. Events are immutable: the raw JSON in them must not be written to.
type Event interface {
	// size estimates the memory that the event holds, in bytes.
	size() int
	// state is the state in the event as JSON; nil where there is none.
	state() json.RawMessage
	// setState completes an event before it is delivered.
	setState(json.RawMessage)
}

// State is a snapshot. It is the first event of a subscription, and the first
// after each reconnect.
type State struct {
	ShareDataID string
	// CurrentState is the state at Cursor. A server that sends patches does not repeat the
	// state that the subscription has: CurrentState and Cursor of a State that is Resumed
	// are then those before the replayed events. Otherwise they are those after them:
	// from any other server, where the subscription had a cursor only, and where an
	// earlier release of the server did not record what the events changed.
	CurrentState json.RawMessage
	// Cursor is the snapshot's position and Revision its number in the
	// history; empty and 0 from a server that sends none.
	Cursor   string
	Revision uint64
	// LastTransactionID is that of the newest transaction at Cursor; empty where there
	// was none yet, and where a subscription resumed from SubscribeOptions.State.
	LastTransactionID string
	// Resumed says that nothing was missed: all events between the one before this
	// and the present follow, the first Replaying of them marked Replayed. Where it is
	// false, this is the first State, a Gap came before, or Skipped is not 0.
	Resumed bool
	// Replaying is how many replayed events follow; 0 also where the server
	// does not say.
	Replaying uint64
	// Skipped is how many events were left out between the one before this and the
	// snapshot, because the connection was too slow for them. It is 0 without
	// SubscribeOptions.Conflate.
	Skipped uint64
}

// Transaction is the verdict on a proposal, of this or another client.
type Transaction struct {
	ShareDataID   string
	TransactionID string
	// Accepted is false for a proposal that its function rejected.
	Accepted bool
	// CurrentState is the state after the transaction; nil only where the event is
	// Replayed and neither server nor client know it.
	CurrentState json.RawMessage
	// Patch is the JSON Patch (RFC 6902, of add, remove and replace) that made
	// CurrentState from the state before. It is nil where the state did not change, where
	// the server sent the whole state, and with Options.KeptStateBytes -1.
	Patch json.RawMessage
	// Replayed says that the change was made while the subscription was
	// interrupted, before the State that was delivered last.
	Replayed bool
	// Revision is its number in the history, and FunctionID the function of the
	// proposal; 0 and empty from a server that does not send them.
	Revision   uint64
	FunctionID string
	// Activity is nil unless SubscribeOptions.Activity asked for it.
	Activity *Activity
}

// Lifecycle is a change made without a proposal: the whole state was replaced,
// or the ShareData was removed.
type Lifecycle struct {
	ShareDataID string
	// Removed says that the ShareData is gone and the subscription with it:
	// this is its last event. Otherwise the whole state was replaced.
	Removed bool
	// CurrentState is the new state; nil where Removed, and otherwise as in Transaction.
	CurrentState json.RawMessage
	// Patch is as in Transaction.
	Patch json.RawMessage
	// Replayed is as in Transaction.
	Replayed bool
	// Cursor and Revision are the position of the change; empty and 0 from a
	// server that sends none.
	Cursor   string
	Revision uint64
	// Activity is as in Transaction.
	Activity *Activity
}

// Activity says when, by whom and with what an entry of the history was made. What the
// server does not say is the zero value.
type Activity struct {
	// Time is when the server decided.
	Time time.Time
	// Subject and Issuer name the caller, as its token did.
	Subject string
	Issuer  string
	// ProposedData is the data of the proposal as JSON.
	ProposedData json.RawMessage
	// Code, Reason and Details are those of a rejection, as in Result.
	Code    string
	Reason  string
	Details json.RawMessage
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
// ErrNoState where there is none: in a Gap, a removal, and replayed events whose state
// is not known.
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
	return eventOverhead + len(e.CurrentState) + len(e.Patch) + len(e.TransactionID) + len(e.FunctionID) + e.Activity.size()
}

func (e *Lifecycle) size() int {
	return eventOverhead + len(e.CurrentState) + len(e.Patch) + len(e.Cursor) + e.Activity.size()
}

func (e *Gap) size() int { return eventOverhead + len(e.Cursor) + len(e.Reason) }

func (a *Activity) size() int {
	if a == nil {
		return 0
	}
	return eventOverhead + len(a.Subject) + len(a.Issuer) + len(a.ProposedData) + len(a.Code) + len(a.Reason) + len(a.Details)
}

func (e *State) state() json.RawMessage       { return e.CurrentState }
func (e *Transaction) state() json.RawMessage { return e.CurrentState }
func (e *Lifecycle) state() json.RawMessage   { return e.CurrentState }
func (e *Gap) state() json.RawMessage         { return nil }

func (e *State) setState(state json.RawMessage)       { e.CurrentState = state }
func (e *Transaction) setState(state json.RawMessage) { e.CurrentState = state }
func (e *Lifecycle) setState(state json.RawMessage)   { e.CurrentState = state }
func (e *Gap) setState(json.RawMessage)               {}
