package wire

import "encoding/json"

// Version is the value of "v" in every frame.
const Version = 1

// Types of frames, the value of "type".
const (
	TypeSubscribe   = "subscribe"
	TypeUnsubscribe = "unsubscribe"
	TypePropose     = "propose"
	TypePing        = "ping"

	TypeState          = "state"
	TypeTransaction    = "transaction"
	TypeLifecycle      = "lifecycle"
	TypeProposalResult = "proposal-result"
	TypePong           = "pong"
	TypeError          = "error"
)

// Values of "event" in a lifecycle frame.
const (
	EventUpdated = "updated"
	EventRemoved = "removed"
)

// ClientMessage is a frame from a client to a server: *Subscribe,
// *Unsubscribe, *Propose or *Ping.
type ClientMessage interface {
	// AppendTo appends the frame's JSON text to dst.
	AppendTo(dst []byte) []byte
	clientMessage()
}

// ServerMessage is a frame from a server to a client: *State, *Transaction,
// *Lifecycle, *ProposalResult, *Pong or *Error.
type ServerMessage interface {
	// AppendTo appends the frame's JSON text to dst.
	AppendTo(dst []byte) []byte
	serverMessage()
}

// Subscribe asks for the state of a ShareData and what follows it.
type Subscribe struct {
	ShareDataID string
	// Since is the cursor to resume from; empty or left out: none.
	Since string
	// ReplayLifecycle asks for wholesale updates among what is replayed, as
	// lifecycle frames without a state. A client that does not know them is
	// replayed transactions only.
	ReplayLifecycle bool
	// KeepConnection asks the server to keep the connection open where there is
	// no ShareData by the id: the error frame is the whole answer then.
	KeepConnection bool
}

// Unsubscribe ends a subscription. It has no answer.
type Unsubscribe struct {
	ShareDataID string
}

// Propose asks for one run of a function.
type Propose struct {
	ShareDataID   string
	FunctionID    string
	ProposedData  json.RawMessage // any JSON value, null included
	CorrelationID string
	// Proof is nil where the frame has none.
	Proof json.RawMessage
	// IdempotencyKey is empty where the frame has none.
	IdempotencyKey string
}

// Ping asks for a Pong.
type Ping struct {
	CorrelationID string
}

// State is the snapshot that begins a subscription.
type State struct {
	ShareDataID  string
	CurrentState json.RawMessage
	// LastTransactionID is empty where there was no transaction yet; it is
	// written as null then.
	LastTransactionID string
	// Cursor is the snapshot's position; empty from a server that sends none,
	// which then sends no Revision either.
	Cursor   string
	Revision uint64
	// Replaying says how many replayed frames follow. It is written only where
	// HasReplaying is set, as for a Subscribe with ReplayLifecycle.
	Replaying    uint64
	HasReplaying bool
}

// Transaction is one verdict in the history.
type Transaction struct {
	ShareDataID   string
	TransactionID string
	Accepted      bool
	// CurrentState is nil in replayed frames.
	CurrentState json.RawMessage
	Replayed     bool
	// Revision is 0 and FunctionID empty from a server that sends none.
	Revision   uint64
	FunctionID string
}

// Lifecycle is a wholesale update, or the end of a ShareData.
type Lifecycle struct {
	ShareDataID string
	Event       string // EventUpdated or EventRemoved
	// CurrentState is nil in replayed frames, which only a client that asked
	// for them is sent, and for EventRemoved.
	CurrentState json.RawMessage
	Replayed     bool
	// Cursor is empty and Revision 0 from a server that sends none.
	Cursor   string
	Revision uint64
}

// ProposalResult answers a Propose.
type ProposalResult struct {
	CorrelationID string
	Accepted      bool
	// TransactionID is empty where the proposal left no entry.
	TransactionID string
	// Error is empty where there is none.
	Error string
	// Duplicate says that the verdict is that of an earlier proposal with the
	// same idempotency key.
	Duplicate bool
	// Code says for programs why Accepted is false; see package codes. It is
	// empty where Accepted is true, and from a server that sends none.
	Code string
	// Details is what else the function or the server says about Code; nil for
	// nothing.
	Details json.RawMessage
	// RetryAfterMs is the number of milliseconds after which the same proposal may
	// succeed; 0 where the server does not say.
	RetryAfterMs uint64
}

// Pong answers a Ping.
type Pong struct {
	CorrelationID string
}

// Error reports what went wrong outside of a proposal.
type Error struct {
	Code    string
	Message string
	// CorrelationID and ShareDataID are empty where the error is about neither.
	CorrelationID string
	ShareDataID   string
}

func (*Subscribe) clientMessage()   {}
func (*Unsubscribe) clientMessage() {}
func (*Propose) clientMessage()     {}
func (*Ping) clientMessage()        {}

func (*State) serverMessage()          {}
func (*Transaction) serverMessage()    {}
func (*Lifecycle) serverMessage()      {}
func (*ProposalResult) serverMessage() {}
func (*Pong) serverMessage()           {}
func (*Error) serverMessage()          {}
