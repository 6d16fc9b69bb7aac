package realtime

import (
	"sync"
	"sync/atomic"
	"time"
)

// session is one connection. Its goroutines exist on demand: a reader while the peer
// sends (where the poller cannot wait for that, as long as the connection), a writer, one
// per ShareData about which something is requested, one per subscription that is being
// replayed, and one while a token is renewed. It writes through the outbox and does not know how the
// bytes are sent.
type session struct {
	// The writer needs these for every write, so they stand together.
	server    *Server
	out       *outbox
	transport transport
	// helpers are the writer and the goroutine that handles an overflow. They are
	// started with outbox.mu held while the outbox is not closed, and waited for
	// when it is.
	helpers sync.WaitGroup
	// expires says that the current caller expires at some time.
	expires atomic.Bool

	// Immutable once the session runs, like server, out and transport.
	info Connection
	// name identifies the connection in the log, and proposers take turns by it
	// (sharedata.Proposal.Connection). Servers may share a manager, so the ID
	// alone would not do.
	name string
	// protocol is the application's, of a session that it opened, and done is closed when
	// that has ended; otherwise both are nil.
	protocol *Protocol
	done     chan struct{}
	// proposer is the name by which proposers take turns, if it is not name.
	proposer string
	// ctx ends with the connection. serving ends when the caller is not served any
	// more (closeUnauthorized), otherwise when the connection and all its proposals have ended.
	ctx, serving lazyContext
	// admitted counts the connection until serving ends.
	admitted *admitted

	// currentCaller is written with mu held and read by everybody. info.Caller is the
	// first caller; see connection.
	currentCaller atomic.Pointer[sessionCaller]
	// callerChanges counts the replacements of the caller; see authorizationVersion.
	callerChanges atomic.Uint64
	expiryAlarm   alarm

	// mu guards all that follows. For the lock order see channel.
	mu sync.Mutex

	// Subscriptions and what is requested about them, by ShareData.
	subscriptions idMap[subscription]
	queues        idMap[requestQueue]
	queued        int // subscribes and unsubscribes in queues

	// Proposals.
	inFlight      int // without a result, or in a request queue
	inFlightBytes int
	unsent        int // inFlight, and those whose result is about to be queued

	// The end of the connection.
	closing      bool        // a close frame was queued, or the connection has ended
	draining     bool        // it is to be closed as soon as unsent is 0
	closeTimer   *time.Timer // cuts the connection some time after closing
	cutCause     string      // why the server cut the connection; the first counts
	unauthorized bool        // the caller is not served any more; see closeUnauthorized
	ended        bool        // finish has returned

	renewing  bool      // an authenticate frame is being processed
	renewedAt time.Time // when the last one had been processed

	// The heartbeat.
	heartbeat alarm
	liveness  liveness

	limiter messageLimiter // for the reader
	idle    idleWatch
}

func newSession(s *Server, info Connection, counted *admitted) *session {
	c := &session{
		server:   s,
		info:     info,
		admitted: counted,
	}
	c.expiryAlarm = newAlarm(c, alarmExpiry)
	c.heartbeat = newAlarm(c, alarmHeartbeat)
	c.idle.alarm = newAlarm(c, alarmIdle)
	c.out = &outbox{limit: s.options.MaxBufferedBytes, most: s.options.MaxBufferedMessages, owner: c}
	c.ctx.parent, c.serving.parent = s.ctx, s.ctx
	c.setCaller(info.Caller)
	return c
}

// begin is called once, before read.
func (s *session) begin() {
	notify(s.server, s.server.options.Observer.OnOpen, s.info)
	s.startExpiry()
	s.startHeartbeat()
	s.startIdleWatch()
}

// finish ends what the connection began, except for proposals. err is why
// reading ended.
func (s *session) finish(err error) {
	s.mu.Lock()
	s.closing = true
	s.stopTimersLocked()
	cause := s.cutCause
	s.mu.Unlock()
	s.server.expiries.set(&s.expiryAlarm, time.Time{})
	s.ctx.cancel()
	s.out.close()
	s.transport.cut()
	s.endSubscriptions()
	s.helpers.Wait()

	event := CloseEvent{Connection: s.connection()}
	event.Code, event.Reason = s.closeCause(err, cause)
	s.server.log.Debug("connection closed", "connection", s.name, "code", event.Code, "reason", event.Reason, "error", err)
	notify(s.server, s.server.options.Observer.OnClose, event)
}

// end is called after finish. The connection is counted until its proposals have ended
// too, so that a peer cannot have more of them in flight by connecting again.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	idle := s.unsent == 0
	s.mu.Unlock()
	if idle {
		s.release()
	}
}

// release is called once, when neither the connection nor a proposal is left.
func (s *session) release() {
	s.serving.cancel()
	s.admitted.release()
}

// endSubscriptions ends every subscription.
func (s *session) endSubscriptions() {
	s.mu.Lock()
	all := s.subscriptions
	s.subscriptions = idMap[subscription]{}
	s.mu.Unlock()
	for sub := range all.all() {
		sub.end()
	}
}

// remove removes a subscription that has ended by itself.
func (s *session) remove(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := sub.request.ShareDataID; s.subscriptions.get(id) == sub {
		s.subscriptions.delete(id)
	}
}

// subscriptionTo returns the subscription to a ShareData, or nil.
func (s *session) subscriptionTo(id string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions.get(id)
}
