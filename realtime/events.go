package realtime

import (
	"runtime/debug"

	"github.com/safe-go/safe/sharedata"
)

// Events are observers of a Server, for metrics and logs; any may be nil. For
// one connection they are called in order: Opened, at most one Overflow, then
// Closed, which is the last. Different connections call them at the same time.
// They must not call Shutdown or Close. A panic is logged and goes no further.
type Events struct {
	// Opened is called when a connection was upgraded, before any of its
	// messages is read.
	Opened func(Connection)
	// Closed is called when a connection has ended and nothing of it is left.
	Closed func(Closed)
	// Overflow is called when more waits for a connection than
	// Options.MaxBufferedBytes. It is closed with 4001.
	Overflow func(Overflow)
	// StoreWriteFailed is called for each proposal that failed because the
	// store did. The proposer has been told that it may try again.
	StoreWriteFailed func(StoreWriteFailed)
}

// Connection identifies one connection.
type Connection struct {
	// ID numbers the server's connections from 1.
	ID uint64
	// Caller is what Options.Authenticate returned.
	Caller *sharedata.Caller
	// RemoteAddr is the peer's address, as in http.Request.
	RemoteAddr string
}

// Closed says how a connection ended.
type Closed struct {
	Connection
	// Code is that of the close frame that began the end, whichever side sent
	// it (RFC 6455 section 7.4): 1005 for one without a code, and 1006 where
	// the connection ended without one.
	Code int
	// Reason is the close frame's text; may be empty. For 1006 it says what
	// happened instead.
	Reason string
}

// Overflow says how much waited for a connection that fell behind.
type Overflow struct {
	Connection
	// Buffered is the number of bytes that would have waited, Limit the one
	// that may: Options.MaxBufferedBytes.
	Buffered, Limit int
}

// StoreWriteFailed names a proposal's ShareData and the store's error.
type StoreWriteFailed struct {
	ShareDataID string
	// Err is a *sharedata.StoreError.
	Err error
}

// emit calls an observer.
func emit[E any](s *Server, observer func(E), event E) {
	if observer == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			s.options.Logger.Error("event observer panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	observer(event)
}
