package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/safe-go/safe/schemas/codes"
)

// Errors, to be tested with errors.Is.
var (
	// ErrClosed: the client or the subscription was closed, or the client
	// stopped for good; the reason is wrapped along with it.
	ErrClosed = errors.New("closed")
	// ErrQueueFull: there is no connection, or too many calls are unanswered,
	// and Options.QueueSize calls wait already. Nothing was sent.
	ErrQueueFull = errors.New("too many calls wait to be sent")
	// ErrTimeout: Options.RequestTimeout went by. errors.Is finds
	// context.DeadlineExceeded in it, too.
	ErrTimeout = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	// ErrUnauthorized: the server did not accept the credential, or does not
	// let it subscribe to this ShareData.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnknownShareData: the server has no ShareData by this id.
	ErrUnknownShareData = errors.New("unknown ShareData")
	// ErrTooManySubscriptions: the server allows no more on one connection.
	ErrTooManySubscriptions = errors.New("too many subscriptions on this connection")
	// ErrInvalid: an argument can never be sent, whatever the server.
	ErrInvalid = errors.New("invalid argument")
	// ErrAlreadySubscribed: the client has a live subscription to this ShareData.
	// Range over that one, or close it first; see Client.Subscribe.
	ErrAlreadySubscribed = errors.New("already subscribed to this ShareData")
	// ErrConsumed: another loop ranges over the events of this subscription.
	ErrConsumed = errors.New("the events of this subscription are being ranged over already")
	// ErrNoState: the event carries no state.
	ErrNoState = errors.New("the event carries no state")
)

// ServerError is an error frame of the server. errors.Is finds
// ErrUnknownShareData, ErrUnauthorized and ErrTooManySubscriptions in it where
// its Code means that.
type ServerError struct {
	// Code is the server's, for example "unknown-share-data".
	Code string
	// Message is the server's text.
	Message string
	// ShareDataID is what it is about; empty where the server did not say.
	ShareDataID string
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
	case codes.UnauthorizedSubscribe:
		return target == ErrUnauthorized
	case codes.TooManySubscriptions:
		return target == ErrTooManySubscriptions
	}
	return false
}

// ProposalError says that a proposal was refused or failed and left no entry
// in the history: there is no verdict. A rejection by the function is not an
// error; it is a Result.
type ProposalError struct {
	// ShareDataID and FunctionID are the proposal's.
	ShareDataID string
	FunctionID  string
	// Code is that of the error frame, where the server sent one; usually
	// empty.
	Code string
	// Message is the server's text.
	Message string
}

// Error names the proposal and returns the server's words.
func (e *ProposalError) Error() string {
	return fmt.Sprintf("proposal to %.60q of %.60q refused: %s", e.FunctionID, e.ShareDataID, e.Message)
}

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

// stopped is the error of everything that a client which stopped for good can
// no longer do.
func stopped(cause error) error {
	return fmt.Errorf("client: %w: %w", ErrClosed, cause)
}
