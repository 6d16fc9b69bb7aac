package realtime

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/safe-go/safe/schemas/codes"
)

// OpenConnection is a connection in the list of Server.Connections.
type OpenConnection struct {
	Connection
	// Subscriptions is the number of ShareData that it is subscribed to.
	Subscriptions int
}

// Connections returns the open connections, by ID. A connection that is being
// closed is among them until its end.
func (s *Server) Connections() []OpenConnection {
	sessions := s.openSessions()
	list := make([]OpenConnection, 0, len(sessions))
	for _, session := range sessions {
		session.mu.Lock()
		list = append(list, OpenConnection{Connection: session.connection(), Subscriptions: session.subscriptions.len()})
		session.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b OpenConnection) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// CloseFrame is what a closed connection's client is sent (RFC 6455 section
// 5.5.1).
type CloseFrame struct {
	// Code is codes.CloseNormal, codes.CloseGoingAway or one of 4000 to 4999.
	// Default: codes.CloseUnauthorized, upon which a client renews its
	// credentials before it reconnects.
	Code int
	// Reason is the text for people, at most 123 bytes of UTF-8. Default: none.
	Reason string
}

// MaxCloseReasonBytes is the longest CloseFrame.Reason: a control frame has at
// most 125 bytes (RFC 6455 section 5.5), of which the code has two.
const MaxCloseReasonBytes = 123

// ErrInvalidClose is returned by Disconnect for a CloseFrame that cannot be sent.
var ErrInvalidClose = errors.New("invalid close frame")

func (f CloseFrame) withDefaults() (CloseFrame, error) {
	switch {
	case f.Code == 0:
		f.Code = codes.CloseUnauthorized
	case f.Code != codes.CloseNormal && f.Code != codes.CloseGoingAway && (f.Code < 4000 || f.Code > 4999):
		return f, fmt.Errorf("%w: code %d; use 1000, 1001 or one of 4000 to 4999", ErrInvalidClose, f.Code)
	}
	if len(f.Reason) > MaxCloseReasonBytes || !utf8.ValidString(f.Reason) {
		return f, fmt.Errorf("%w: the reason has %d bytes; use at most %d of UTF-8", ErrInvalidClose, len(f.Reason), MaxCloseReasonBytes)
	}
	return f, nil
}

// ByID selects the connection with an ID, for Disconnect.
func ByID(id uint64) func(Connection) bool {
	return func(c Connection) bool { return c.ID == id }
}

// BySubject selects the connections of a Caller's Subject, for Disconnect.
func BySubject(subject string) func(Connection) bool {
	return func(c Connection) bool { return c.Caller != nil && c.Caller.Subject == subject }
}

// Disconnect closes the open connections that match selects, and returns how
// many: ByID, BySubject or a function of the caller's, which is called for one
// connection at a time. Each is sent what is queued for it, then the close
// frame; its subscriptions end at once, and no more of its messages are read.
// Its proposals in flight are evaluated. It does not wait for the connections to
// end; a connection that is closing already is not counted.
//
// It reaches this server alone. For connections of other processes that a rule selects,
// have AuthorizeSubscribe return ErrExpired for them, and call Reauthorize. To keep a
// caller out, use Revoke, or have Options.Authenticate refuse it first:
// a connection that is being opened at the same time is disconnected too, before
// anything is sent to it. Its ID is 0 until it is open. Where Authenticate was
// being called during the call, it is called again for that request. The error is
// ErrInvalidClose.
func (s *Server) Disconnect(match func(Connection) bool, with CloseFrame) (n int, err error) {
	with, err = with.withDefaults()
	if err != nil {
		return 0, err
	}
	s.disconnects.Add(1) // first: a request that is being authenticated is authenticated again
	sessions, pending := s.connections()
	for _, p := range pending {
		if match(p.info) && s.disconnectPending(p, with) {
			n++
		}
	}
	for _, session := range sessions {
		if match(session.connection()) && session.close(with.Code, with.Reason) {
			n++
		}
	}
	return n, nil
}

// Subscribers returns how many connections of this server are subscribed to a ShareData, and
// are sent what is committed: those that conflate and are too slow at the moment are not
// counted. Right after a proposal it is how many were sent the transaction, but for
// those that have come or gone since.
func (s *Server) Subscribers(shareDataID string) int {
	s.hub.mu.Lock()
	c := s.hub.channels[shareDataID]
	s.hub.mu.Unlock()
	if c == nil {
		return 0
	}
	return c.live()
}
