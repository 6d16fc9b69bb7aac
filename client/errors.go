package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/schemas/codes"
)

// Errors, to be tested with errors.Is.
var (
	// ErrClosed: the client or the subscription was closed, or the client stopped
	// for good; the reason is wrapped with it.
	ErrClosed = errors.New("closed")
	// ErrQueueFull: Options.QueueSize calls wait already. Nothing was sent.
	ErrQueueFull = errors.New("too many calls wait to be sent")
	// ErrTimeout: Options.RequestTimeout went by. errors.Is finds
	// context.DeadlineExceeded in it, too.
	ErrTimeout = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	// ErrOutcomeUnknown: the proposal may have taken effect. The error is an
	// *OutcomeUnknownError.
	ErrOutcomeUnknown = errors.New("the outcome of the proposal is unknown")
	// ErrUnauthorized: the server did not accept the credential, or does not
	// let it subscribe to this ShareData.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnknownShareData: the server has no ShareData by this id.
	ErrUnknownShareData = errors.New("unknown ShareData")
	// ErrTooManySubscriptions: the server allows no more on one connection.
	ErrTooManySubscriptions = errors.New("too many subscriptions on this connection")
	// ErrInvalid: an argument or an option can never be used, whatever the server.
	ErrInvalid = errors.New("invalid argument")
	// ErrAlreadySubscribed: the client has a live subscription to this ShareData.
	// Range over that one, or close it first; see Client.Subscribe.
	ErrAlreadySubscribed = errors.New("already subscribed to this ShareData")
	// ErrConsumed: another loop ranges over the events of this subscription.
	ErrConsumed = errors.New("the events of this subscription are being ranged over already")
	// ErrNoState: the event carries no state.
	ErrNoState = errors.New("the event carries no state")
)

// Values of ProposalError.Code that this package sets. All others are the server's;
// see package schemas/codes.
const (
	// CodeUnspecified: the server sent no code. The published server never does.
	CodeUnspecified = "unspecified"
	// CodeMessageTooBig: the proposal is larger than the messages that the server
	// reads (close code 1009, RFC 6455 section 7.4.1).
	CodeMessageTooBig = "message-too-big"
)

// ServerError is an error that the server sent. errors.Is finds
// ErrUnknownShareData, ErrUnauthorized and ErrTooManySubscriptions in it where
// its Code means that.
type ServerError struct {
	// Code is the server's, for example "unknown-share-data".
	Code string
	// Message is the server's text.
	Message string
	// ShareDataID is what it is about; empty where the server did not say.
	ShareDataID string
	// RetryAfter is the delay after which the same may succeed; 0 where the server
	// does not say.
	RetryAfter time.Duration
}

// Error returns the server's words.
func (e *ServerError) Error() string {
	if e.ShareDataID == "" {
		return fmt.Sprintf("server: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("server: %s: %s (ShareData %.60q)", e.Code, e.Message, e.ShareDataID)
}

// Is reports whether the Code means target.
func (e *ServerError) Is(target error) bool {
	switch e.Code {
	case codes.UnknownShareData:
		return target == ErrUnknownShareData
	case codes.UnauthorizedSubscribe, codes.InvalidToken:
		return target == ErrUnauthorized
	case codes.TooManySubscriptions:
		return target == ErrTooManySubscriptions
	}
	return false
}

// ProposalError says that the server refused a proposal: there is no verdict, no
// entry in the history, and no attempt of this call has changed anything. A
// rejection by the function is not an error; it is a Result.
//
// It speaks for one call. If an earlier call with the same key ended with
// ErrOutcomeUnknown, the outcome of that call is still unknown.
type ProposalError struct {
	// ShareDataID, FunctionID and IdempotencyKey are the proposal's.
	ShareDataID    string
	FunctionID     string
	IdempotencyKey string
	// Code says for programs why; it is always set. It is one of package
	// schemas/codes, one of an authorizer's own, CodeUnspecified or
	// CodeMessageTooBig.
	Code string
	// Message is the server's text.
	Message string
	// Details is what else the server says about Code; nil for nothing.
	Details json.RawMessage
	// RetryAfter is the delay after which the same proposal may succeed; 0 where
	// the server does not say.
	RetryAfter time.Duration
	// Err is why the client did not try further where Temporary is true, for
	// example ErrTimeout; otherwise nil.
	Err error
}

// Error names the proposal and returns the server's text.
func (e *ProposalError) Error() string {
	text := fmt.Sprintf("proposal to %.60q of %.60q refused: %s: %s", e.FunctionID, e.ShareDataID, e.Code, e.Message)
	if e.Err != nil {
		text += fmt.Sprintf(" (not tried further: %v)", e.Err)
	}
	return text
}

// Unwrap returns Err.
func (e *ProposalError) Unwrap() error { return e.Err }

// Temporary reports whether the same proposal may succeed later: the server was
// busy, out of reach of its store or shutting down, or a limit was reached. The
// client tried again until the time was up. The same holds for a proof that was stale,
// if the proposal had a Prover.
func (e *ProposalError) Temporary() bool {
	return isTemporary(e.Code) || e.Code == codes.ProofStale && e.Err != nil
}

// OutcomeUnknownError says that a proposal may have taken effect or not: an
// attempt was sent and got no reply before the connection or the time ended, or
// the server itself does not know. errors.Is finds ErrOutcomeUnknown in it.
//
// To learn the outcome, call ProposeWith with the same proposal and the
// IdempotencyKey from here. The proposal takes effect at most once however often
// that is done; if it has taken effect, the result is the first verdict and says
// Duplicate.
type OutcomeUnknownError struct {
	// ShareDataID, FunctionID and IdempotencyKey are the proposal's.
	ShareDataID    string
	FunctionID     string
	IdempotencyKey string
	// Err is why there is no verdict: ErrTimeout, the context's error, ErrClosed
	// or a *ServerError. It also wraps the last error of the connection and the
	// last reply of the server, if there is one.
	Err error
}

// Error names the proposal, its key and the cause.
func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("proposal to %.60q of %.60q: outcome unknown; propose again under the idempotency key %.80q: %v",
		e.FunctionID, e.ShareDataID, e.IdempotencyKey, e.Err)
}

// Unwrap returns Err.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// Is reports whether target is ErrOutcomeUnknown.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// ConnectError says why an attempt to connect failed. errors.Is finds
// ErrUnauthorized in it where Status is 401.
type ConnectError struct {
	// Status is the HTTP status of the answer; 0 where there was none.
	Status int
	// Err is the cause. It never contains the token.
	Err error
}

// Error returns the cause.
func (e *ConnectError) Error() string { return "connect: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// Is reports whether the Status means target.
func (e *ConnectError) Is(target error) bool {
	return target == ErrUnauthorized && e.Status == 401
}

// DisconnectError says how a connection ended. errors.Is finds ErrUnauthorized
// in it where Code is 4002, and ErrUnknownShareData where it is 4003.
type DisconnectError struct {
	// Code is that of the server's close frame (RFC 6455 section 7.4); 0 where
	// the connection ended without one.
	Code int
	// Reason is the text in the close frame.
	Reason string
	// Err is the cause where there was no close frame.
	Err error
}

// Error returns the code and the reason, or the cause.
func (e *DisconnectError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("connection lost: %v", e.Err)
	}
	return fmt.Sprintf("connection closed by the server: %d %q", e.Code, e.Reason)
}

// Unwrap returns the cause, if it was not a close frame.
func (e *DisconnectError) Unwrap() error { return e.Err }

// Is reports whether the Code means target.
func (e *DisconnectError) Is(target error) bool {
	switch e.Code {
	case codes.CloseUnauthorized:
		return target == ErrUnauthorized
	case codes.CloseUnknownShareData:
		return target == ErrUnknownShareData
	}
	return false
}
