package realtime

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// Session is what a client of another protocol is served by: the subscriptions and
// proposals of one connection, with the hooks, limits, catch-up, backpressure and
// promises of all. All methods may be called from any number of goroutines; none but
// SetCaller, which calls a hook, blocks. What they lead to reaches the Peer as messages.
type Session struct {
	session *session
	peer    *peerTransport // nil over WebSocket
}

// openAs makes the session one of an application's protocol, before it is read.
func (s *session) openAs(protocol *Protocol, peer *peerTransport) *Session {
	s.protocol, s.done = protocol, make(chan struct{})
	return &Session{session: s, peer: peer}
}

// closeDone is called when the session has ended and does not call its transport again.
func (s *session) closeDone() {
	if s.done != nil {
		close(s.done)
	}
}

// Caller returns who the client is.
func (s *Session) Caller() *sharedata.Caller { return s.session.caller() }

// SetCaller says who the client is, where its protocol tells that only after the session
// was opened (without a caller: Options.Authenticate is not set, and SessionOptions has
// none), or that the same caller has a new token. From then on the session ends when the
// caller expires or is revoked, and counts for its Subject. AuthorizeSubscribe is asked
// again about the subscriptions there are.
//
// The session stays as it was after an error: ErrExpired where the caller has expired or
// was revoked, an *OpenError where it has too many connections, and another one where the
// session has another caller or is closing. A Server.Disconnect between the check of the
// token and SetCaller does not find the session; a Revoke does.
func (s *Session) SetCaller(caller *sharedata.Caller) error {
	if caller == nil {
		return errNoCaller
	}
	if err := s.session.identify(caller); err != nil {
		return err
	}
	s.session.reauthorize()
	return nil
}

// Done returns a channel that is closed when the session has ended and calls its Peer, or
// WebSocketOptions.Receive, no more.
func (s *Session) Done() <-chan struct{} { return s.session.done }

// Close ends the session. What waits for the client is sent first, if it reads.
func (s *Session) Close() { s.session.close(codes.CloseNormal, "") }

// End ends the session at once: the application calls it when the client has gone.
func (s *Session) End() {
	if s.peer == nil {
		s.session.cut("the application has ended the session")
		return
	}
	s.peer.end()
}

// Send sends the client a message of the application's own, such as a reply that no
// Message leads to, after what waits already. The message counts for
// Options.MaxBufferedBytes, and must not be changed afterwards.
func (s *Session) Send(message []byte) {
	if len(message) > 0 {
		s.session.out.send(&frame{text: message, about: &nothing, kind: kindEncoded})
	}
}

// Received counts a message or a sign of life of the client. Where there are more than
// Options.MessagesPerSecond, ok is false and the message must be refused, to be sent
// again after that time; a client that goes on is disconnected. Over WebSocket the
// server counts, and the application does not call it.
func (s *Session) Received() (retryAfter time.Duration, ok bool) {
	if s.peer != nil {
		s.peer.received.Add(1)
	}
	retryAfter, flooded := s.session.countMessage(time.Now())
	return retryAfter, retryAfter == 0 && !flooded
}

// Subscription says what to subscribe to.
type Subscription struct {
	ShareDataID string
	// Since is the Cursor of the last message that the client has seen, as a text: what
	// followed is replayed. Default: only what is to come.
	Since string
	// Conflate has a client that is too slow miss entries (Message.Skipped) in place of
	// being disconnected.
	Conflate bool
	// CorrelationID is in the reply: the first MessageState, or the MessageError of a
	// refusal. Default: none.
	CorrelationID string
}

// Subscribe subscribes the client: a MessageState follows, or a MessageError. A
// second subscription to the same ShareData begins again.
func (s *Session) Subscribe(to Subscription) {
	s.session.enqueueRequest(to.ShareDataID, to.CorrelationID, to.request())
}

func (to Subscription) request() *wire.Subscribe {
	return &wire.Subscribe{
		ShareDataID: to.ShareDataID, Since: to.Since, Conflate: to.Conflate, ReplayLifecycle: true, KeepConnection: true,
		CorrelationID: to.CorrelationID,
	}
}

// Unsubscribe ends a subscription.
func (s *Session) Unsubscribe(shareDataID string) { s.UnsubscribeWith(shareDataID, "") }

// UnsubscribeWith is Unsubscribe with a reply: MessageUnsubscribed with the correlation
// id, after which nothing about the ShareData follows; or the MessageError of a refusal.
func (s *Session) UnsubscribeWith(shareDataID, correlationID string) {
	s.session.enqueueRequest(shareDataID, correlationID, &wire.Unsubscribe{ShareDataID: shareDataID, CorrelationID: correlationID})
}

// Proposal is what a client proposes.
type Proposal struct {
	ShareDataID, FunctionID string
	Data                    json.RawMessage
	// IdempotencyKey makes a repeat have no further effect. Default: none.
	IdempotencyKey string
	// CorrelationID is in the MessageResult. Default: "propose".
	CorrelationID string
}

// Propose proposes for the client. A MessageResult follows, after the transaction where
// the client is subscribed; none if the session ends first.
func (s *Session) Propose(p Proposal) {
	s.session.admit(&wire.Propose{
		ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, ProposedData: p.Data,
		IdempotencyKey: p.IdempotencyKey, CorrelationID: cmp.Or(p.CorrelationID, defaultCorrelationID),
	})
}
