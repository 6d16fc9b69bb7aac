package realtime

import (
	"runtime/debug"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// Observer has callbacks for what happens to connections, for metrics and logs.
// Any of them may be nil. The callbacks of one connection are called in order:
// OnOpen, OnOverflow at most once, then OnClose, which is the last but for OnSkip. Those of
// different connections are called concurrently. They must return soon and must
// not call Shutdown or Close. A panic is logged and has no other effect.
type Observer struct {
	// OnOpen is called after the upgrade, before any message is read.
	OnOpen func(Connection)
	// OnClose is called when a connection has ended and holds no resources.
	OnClose func(CloseEvent)
	// OnOverflow is called when more waits for a connection than
	// Options.MaxBufferedBytes or MaxBufferedMessages. The connection is closed with 4001.
	OnOverflow func(OverflowEvent)
	// OnSkip is called when a subscription with conflate gets a state in place of entries.
	OnSkip func(SkipEvent)
	// OnStoreFailure is called for each proposal that failed because the store
	// did. Its proposer was sent codes.Unavailable or codes.OutcomeUnknown.
	OnStoreFailure func(StoreFailureEvent)
}

// Connection identifies one connection.
type Connection struct {
	// ID numbers the server's connections from 1.
	ID uint64
	// Caller is what Options.Authenticate returned, or Options.AuthenticateToken
	// where the caller has renewed its token since.
	Caller *sharedata.Caller
	// RemoteAddr is the peer's address: that of http.Request, or the one without a
	// port that a trusted proxy says (Options.TrustedProxies).
	RemoteAddr string
	// OpenedAt is the time of the upgrade.
	OpenedAt time.Time
}

// CloseEvent says how a connection ended.
type CloseEvent struct {
	Connection
	// Code is that of the first close frame, whichever side sent it (RFC 6455
	// section 7.4): 1005 for a close frame without a code, and 1006 where the
	// connection ended without a close frame.
	Code int
	// Reason is the close frame's text; it may be empty. For 1006 it says what
	// happened.
	Reason string
}

// OverflowEvent says how much waited for a connection that fell behind.
type OverflowEvent struct {
	Connection
	// Buffered is the number of bytes that would have waited, Limit the number
	// that may: Options.MaxBufferedBytes. Fewer wait where it was Options.MaxBufferedMessages
	// that was exceeded.
	Buffered, Limit int
}

// SkipEvent says what a subscription with conflate is not sent.
type SkipEvent struct {
	Connection
	ShareDataID string
	// Entries is how many entries were left out; 0 where that is not known, because the
	// history did not continue.
	Entries uint64
}

// StoreFailureEvent says which ShareData the proposal was for that failed, and
// why.
type StoreFailureEvent struct {
	ShareDataID string
	// Err is the proposal's error. errors.Is finds sharedata.ErrStore in it, and
	// sharedata.ErrOutcomeUnknown where the proposal may have taken effect.
	Err error
}

// notify calls a callback of the Observer.
func notify[E any](s *Server, callback func(E), event E) {
	if callback == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			s.log.Error("observer panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	callback(event)
}
