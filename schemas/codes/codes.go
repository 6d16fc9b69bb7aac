// Package codes has every code of the wire protocol, version 1: those of
// proposal-result frames, of error frames and of WebSocket close frames. Servers
// and clients use these constants; a client in another language copies them.
package codes

// Codes of a proposal-result that is not accepted. A function may reject with a
// code of its own (sharedata.RejectWith), and an authorizer may refuse with one
// (realtime.Refusal); all others are listed here.
//
// Only Rejected and a function's own codes come with a transactionId: the
// verdict is in the history. Of every other code but OutcomeUnknown it is known
// that nothing happened.
const (
	// Rejected: the function rejected the proposal, without a code of its own.
	Rejected = "rejected"
	// InvalidInput: the proposed data is not what the function takes. The details
	// have the member "pointer", the place as a JSON Pointer (RFC 6901).
	InvalidInput = "invalid-input"
	// InvalidKey: the idempotencyKey cannot be used.
	InvalidKey = "invalid-key"
	// UnknownFunction: the ShareData has no function by the functionId.
	UnknownFunction = "unknown-function"
	// UnknownShareData: there is no ShareData by the shareDataId. Also a code of
	// error frames.
	UnknownShareData = "unknown-share-data"
	// ProposingDisabled: the server takes no proposals.
	ProposingDisabled = "proposing-disabled"
	// Unauthorized: the caller may not run the function.
	Unauthorized = "unauthorized"
	// ProofRequired: the ShareData or the function takes proposals with a proof
	// only, and this one has none.
	ProofRequired = "proof-required"
	// ProofInvalid: the proof does not authorize this proposal of this caller.
	ProofInvalid = "proof-invalid"
	// ProofStale: the proof is for another position than the current one; make a
	// new proof and propose again, under the same idempotencyKey.
	ProofStale = "proof-stale"
	// RateLimited: the connection sends more messages than it may, or has as many
	// proposals in flight as it may have, by number or in bytes; propose again after
	// retryAfterMs, or when one of them has its result. Also a code of error frames,
	// about other messages over the limit, and where too many subscribes and
	// unsubscribes wait.
	RateLimited = "rate-limited"
	// Busy: the ShareData has too many proposals; nothing happened, and the same
	// proposal may succeed a little later.
	Busy = "busy"
	// Unavailable: the store failed or could not be reached, and nothing happened;
	// the same proposal may succeed later. Also a code of error frames.
	Unavailable = "unavailable"
	// OutcomeUnknown: the proposal may or may not have taken effect. Sent again
	// under the same idempotencyKey, it takes effect at most once.
	OutcomeUnknown = "outcome-unknown"
	// FunctionFailed: the function came to no verdict, for reasons of its own.
	FunctionFailed = "function-failed"
	// TimedOut: the function missed its deadline.
	TimedOut = "timed-out"
	// ShuttingDown: the server is shutting down; propose again on a new
	// connection.
	ShuttingDown = "shutting-down"
	// InternalError: the server failed in a way that only its log explains, and
	// nothing happened. Also a code of error frames.
	InternalError = "internal-error"
)

// Codes of an error frame, besides UnknownShareData, RateLimited, Unavailable and
// InternalError. An authorizer may refuse a subscribe with a code of its own.
const (
	// InvalidMessage: the client's message does not parse or fits no schema. The
	// connection is closed with CloseInvalidMessage.
	InvalidMessage = "invalid-message"
	// UnauthorizedSubscribe: the caller may not subscribe to the ShareData.
	UnauthorizedSubscribe = "unauthorized-subscribe"
	// ReplayCursorNotFound: the entries after the cursor of the subscribe (since)
	// cannot be replayed; the state frame before this is current.
	ReplayCursorNotFound = "replay-cursor-not-found"
	// TooManySubscriptions: the connection has as many as it may have.
	TooManySubscriptions = "too-many-subscriptions"
	// InvalidToken: the token of an authenticate frame was refused. The connection
	// goes on until its present token expires.
	InvalidToken = "invalid-token"
)

// Codes of a WebSocket close frame. 4000 to 4999 are for private use (RFC 6455
// section 7.4.2).
const (
	// CloseNormal: the sender is done (RFC 6455 section 7.4.1).
	CloseNormal = 1000
	// CloseGoingAway: the server is shutting down; reconnect (RFC 6455 section
	// 7.4.1).
	CloseGoingAway = 1001
	// ClosePolicyViolation: the client went on exceeding a limit after it was
	// warned; wait before reconnecting (RFC 6455 section 7.4.1).
	ClosePolicyViolation = 1008
	// CloseFellBehind: too much waited to be written to this connection; reconnect
	// at once and resume.
	CloseFellBehind = 4001
	// CloseUnauthorized: the connection's credentials are missing or no longer
	// good; renew them and reconnect.
	CloseUnauthorized = 4002
	// CloseUnknownShareData: a subscribe to a ShareData that does not exist, after
	// an error frame. A subscribe with keepConnection gets the error frame only.
	CloseUnknownShareData = 4003
	// CloseInvalidMessage: a message that does not parse or fits no schema, after
	// an error frame.
	CloseInvalidMessage = 4004
)
