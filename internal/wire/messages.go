package wire

import "encoding/json"

// Version is the value of "v" in every frame.
const Version = 1

// Types of frames, the value of "type".
const (
	TypeSubscribe    = "subscribe"
	TypeUnsubscribe  = "unsubscribe"
	TypePropose      = "propose"
	TypePing         = "ping"
	TypeAuthenticate = "authenticate"

	TypeState          = "state"
	TypeTransaction    = "transaction"
	TypeLifecycle      = "lifecycle"
	TypeProposalResult = "proposal-result"
	TypePong           = "pong"
	TypeAuthenticated  = "authenticated"
	TypeError          = "error"
)

// Values of "event" in a lifecycle frame.
const (
	EventUpdated = "updated"
	EventRemoved = "removed"
)

// ClientMessage is a frame from a client to a server: *Subscribe,
// *Unsubscribe, *Propose, *Ping or *Authenticate.
type ClientMessage interface {
	// AppendTo appends the frame's JSON text to dst.
	AppendTo(dst []byte) []byte
	clientMessage()
}

// ServerMessage is a frame from a server to a client: *State, *Transaction,
// *Lifecycle, *ProposalResult, *Pong, *Authenticated or *Error.
type ServerMessage interface {
	// AppendTo appends the frame's JSON text to dst.
	AppendTo(dst []byte) []byte
	serverMessage()
}

// Subscribe asks for the state of a ShareData and all later changes.
type Subscribe struct {
	ShareDataID string
	// Since is the cursor to resume from; empty for none.
	Since string
	// ReplayLifecycle asks to replay wholesale updates too, as lifecycle frames
	// without a state. Without it only transactions are replayed.
	ReplayLifecycle bool
	// KeepConnection asks the server to keep the connection open if there is no
	// ShareData by the id: the error frame is then the whole reply.
	KeepConnection bool
	// Patches asks for what changed instead of whole states, live and replayed. It
	// implies ReplayLifecycle.
	Patches bool
	// IncludeState asks for State.CurrentState also where the subscription resumes
	// at Since: for a subscriber with patches that has a cursor, but not the state
	// there.
	IncludeState bool
	// Activity asks for the member activity of transactions and wholesale updates.
	Activity bool
	// Conflate asks the server to leave out entries that the connection is too slow
	// for, instead of closing it: a State with Skipped then takes their place.
	Conflate bool
	// CorrelationID is in no frame: a request that an application makes for a client of
	// another protocol has it.
	CorrelationID string
}

// Unsubscribe ends a subscription. It has no reply.
type Unsubscribe struct {
	ShareDataID string
	// CorrelationID is that of Subscribe.
	CorrelationID string
}

// Propose asks for one run of a function.
type Propose struct {
	ShareDataID   string
	FunctionID    string
	ProposedData  json.RawMessage // any JSON value, null included
	CorrelationID string
	// Proof is nil if the frame has none.
	Proof json.RawMessage
	// IdempotencyKey is empty if the frame has none.
	IdempotencyKey string
}

// Ping asks for a Pong.
type Ping struct {
	CorrelationID string
	// TokenExpiry asks for Pong.TokenExpiresInMs.
	TokenExpiry bool
}

// Authenticate renews the token by which the connection was authenticated. A
// client sends it only after a Pong that had TokenExpiresInMs, because other
// servers do not know it. The reply is an Authenticated, or an Error with the
// same correlationId.
type Authenticate struct {
	CorrelationID string
	// Token is the new token, 1 to 16,384 characters. It is a secret: no error of
	// this package and of package schemas has any part of it.
	Token string
}

// State is the snapshot that begins a subscription, or with Skipped the snapshot
// with which a subscription goes on that entries were left out of.
type State struct {
	ShareDataID string
	// CurrentState is nil only where Resumed is true.
	CurrentState json.RawMessage
	// LastTransactionID is empty if there was no transaction yet, and then
	// written as null.
	LastTransactionID string
	// Cursor is the snapshot's position. It is empty, and Revision 0, from a
	// server that sends neither.
	Cursor   string
	Revision uint64
	// Replaying says how many replayed frames follow. It is written only where
	// HasReplaying is set, as for a Subscribe with ReplayLifecycle.
	Replaying    uint64
	HasReplaying bool
	// Resumed says that the subscriber with patches has the state at its cursor, and
	// that the replayed frames lead from there to Cursor.
	Resumed bool
	// StateHash is the SHA-256 of the state at Cursor, in 64 lower-case hexadecimal
	// digits. It is empty for a subscriber without patches.
	StateHash string
	// Skipped is how many entries were left out since the frame before of this
	// subscription, because the connection was too slow for them; 0 for none.
	Skipped uint64
}

// Transaction is a transaction in the history: the verdict on one proposal.
type Transaction struct {
	ShareDataID   string
	TransactionID string
	Accepted      bool
	// CurrentState is nil in replayed frames. To a subscriber with patches it is
	// also in those, but only where there is no Patch although the state changed.
	CurrentState json.RawMessage
	// Patch is the JSON Patch (RFC 6902) that makes the state after this transaction
	// from the one before it. Only a subscriber with patches gets it. Where it and
	// CurrentState are nil, the transaction left the state as it was.
	Patch    json.RawMessage
	Replayed bool
	// Revision is 0 and FunctionID empty from a server that sends none.
	Revision   uint64
	FunctionID string
	// StateHash is that of the state after this transaction, as in State; empty in
	// most frames.
	StateHash string
	// Activity is an object that [Activity] describes; nil for none.
	Activity json.RawMessage
}

// Lifecycle is a wholesale update or the removal of a ShareData.
type Lifecycle struct {
	ShareDataID string
	Event       string // EventUpdated or EventRemoved
	// CurrentState is nil for EventRemoved and in replayed frames, which are sent
	// only to a client that asked for them. To a subscriber with patches it is also
	// in those, but only where there is no Patch.
	CurrentState json.RawMessage
	// Patch is as in Transaction.
	Patch    json.RawMessage
	Replayed bool
	// Cursor is empty and Revision 0 from a server that sends none.
	Cursor   string
	Revision uint64
	// StateHash and Activity are as in Transaction.
	StateHash string
	Activity  json.RawMessage
}

// ProposalResult is the reply to a Propose.
type ProposalResult struct {
	CorrelationID string
	Accepted      bool
	// TransactionID is empty if the proposal left no transaction.
	TransactionID string
	// Error is the reason in words; it may be empty.
	Error string
	// Duplicate says that this is the verdict on an earlier proposal with the same
	// idempotency key.
	Duplicate bool
	// Code is the machine-readable reason; see package codes. It is empty if
	// Accepted is true, and from a server that sends none.
	Code string
	// Details is any JSON value with more about Code; nil for none.
	Details json.RawMessage
	// RetryAfterMs is the number of milliseconds after which the same proposal may
	// succeed; 0 if that is not known.
	RetryAfterMs uint64
}

// Pong is the reply to a Ping.
type Pong struct {
	CorrelationID string
	// TokenExpiresInMs is the number of milliseconds until the server closes the
	// connection because its token expires. It is written only where
	// HasTokenExpiresIn is set: for a Ping with TokenExpiry, of a connection whose
	// token expires and can be renewed by an Authenticate.
	TokenExpiresInMs  uint64
	HasTokenExpiresIn bool
}

// Authenticated is the reply to an Authenticate whose token was accepted.
type Authenticated struct {
	CorrelationID string
	// TokenExpiresInMs is that of the new token. It is written only where
	// HasTokenExpiresIn is set, as for a token that expires.
	TokenExpiresInMs  uint64
	HasTokenExpiresIn bool
}

// Error reports an error that is not the result of a proposal.
type Error struct {
	Code    string
	Message string
	// CorrelationID and ShareDataID are those of the message that the error is
	// about, if it has them.
	CorrelationID string
	ShareDataID   string
	// RetryAfterMs is the number of milliseconds after which the same message may
	// succeed; 0 if that is not known.
	RetryAfterMs uint64
}

func (*Subscribe) clientMessage()    {}
func (*Unsubscribe) clientMessage()  {}
func (*Propose) clientMessage()      {}
func (*Ping) clientMessage()         {}
func (*Authenticate) clientMessage() {}

func (*State) serverMessage()          {}
func (*Transaction) serverMessage()    {}
func (*Lifecycle) serverMessage()      {}
func (*ProposalResult) serverMessage() {}
func (*Pong) serverMessage()           {}
func (*Authenticated) serverMessage()  {}
func (*Error) serverMessage()          {}
