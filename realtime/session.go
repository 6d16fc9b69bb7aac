package realtime

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// session is one connection. Its goroutines are the reader, which lives as long
// as the connection, and on demand: a writer, a feeder, and one request queue per
// ShareData about which something was asked. It writes through the outbox and
// does not know how the bytes get out.
type session struct {
	server *Server
	info   Connection
	conn   *websocket.Conn // for reading
	socket *socket
	out    *outbox

	// ctx ends with the connection, work with the server: what was proposed is
	// judged also when its sender has gone. Both carry the caller.
	ctx    context.Context
	cancel context.CancelFunc
	work   context.Context

	// helpers are the writer and whoever deals with an overflow. They are
	// started with outbox.mu held while the outbox is not closed, and waited
	// for when it is.
	helpers sync.WaitGroup

	mu            sync.Mutex
	closing       bool // a close frame is on its way, or the connection has ended
	draining      bool // it is to be closed as soon as no proposal is in flight
	subscriptions map[string]*subscription
	queues        map[string]*requestQueue
	requests      int // subscribes and unsubscribes in queues
	proposals     int // in flight, of proposalBytes in all
	proposalBytes int
	unanswered    int     // those, and those whose answer is about to be queued
	starting      []*feed // wait for the feeder
	feeding       bool
	lingering     *time.Timer // cuts the connection some time after closing
	heartbeat     *time.Timer
	liveness      liveness
	cause         string // why the server cut the connection; the first counts
}

func newSession(s *Server, w http.ResponseWriter, r *http.Request, caller *sharedata.Caller) (*session, error) {
	c := &session{
		server:        s,
		info:          Connection{Caller: caller, RemoteAddr: r.RemoteAddr, OpenedAt: time.Now()},
		subscriptions: make(map[string]*subscription),
		queues:        make(map[string]*requestQueue),
	}
	c.out = &outbox{limit: s.options.MaxBufferedBytes, wake: c.startWriter, overflow: c.startFallingBehind}
	h := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		OriginPatterns: s.options.OriginPatterns,
		// The library would answer within 5 s or cut the connection, however
		// healthy a peer with a large frame on its way to it may be.
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			c.out.sendPong(payload)
			return false
		},
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1) // it would close with 1009 and without an error frame
	c.conn, c.socket = conn, h.socket
	c.work = sharedata.WithCaller(s.ctx, caller)
	c.ctx, c.cancel = context.WithCancel(c.work)
	return c, nil
}

// run reads until the connection ends, and leaves nothing behind.
func (s *session) run() {
	notify(s.server, s.server.options.Observer.OnOpen, s.info)
	s.startHeartbeat()
	err := s.read()
	s.finish(err)
}

// finish ends what the connection began, except for proposals. err is why
// reading ended.
func (s *session) finish(err error) {
	s.mu.Lock()
	s.closing = true
	s.stopTimersLocked()
	cause := s.cause
	s.mu.Unlock()
	s.cancel()
	s.out.close()
	s.conn.CloseNow()
	s.leave()
	s.helpers.Wait()

	closed := CloseEvent{Connection: s.info}
	closed.Code, closed.Reason = s.ending(err, cause)
	s.server.log.Debug("connection closed", "connection", s.info.ID, "code", closed.Code, "reason", closed.Reason, "error", err)
	notify(s.server, s.server.options.Observer.OnClose, closed)
}

// close says closeFrame: what is queued goes out, then a close frame. The peer has
// some time to read up to it and to answer.
func (s *session) close(code int, reason string) {
	if !s.beginClosing() {
		return
	}
	s.leave()
	s.out.closeAfterFlush(code, reason)
}

// beginClosing makes the session take no more messages. It returns false if
// that was so already.
func (s *session) beginClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.closing = true
	s.stopTimersLocked()
	s.lingering = time.AfterFunc(s.server.options.closeTimeout(), func() {
		s.server.during(func() { s.cut("the peer did not answer the close frame") })
	})
	return true
}

func (s *session) stopTimersLocked() {
	if s.heartbeat != nil {
		s.heartbeat.Stop()
	}
	if s.lingering != nil {
		s.lingering.Stop()
	}
}

// cut ends the connection at once; the reader does the rest.
func (s *session) cut(cause string) {
	s.mu.Lock()
	if s.cause == "" {
		s.cause = cause
	}
	s.mu.Unlock()
	s.socket.Close()
}

// drain closes the session as soon as every proposal in flight is answered.
func (s *session) drain() {
	s.mu.Lock()
	s.draining = true
	idle := s.unanswered == 0
	s.mu.Unlock()
	if idle {
		s.goAway()
	}
}

func (s *session) goAway() {
	s.close(codes.CloseGoingAway, "the server is shutting down; reconnect")
}

// leave ends every subscription.
func (s *session) leave() {
	s.mu.Lock()
	all := s.subscriptions
	s.subscriptions = make(map[string]*subscription)
	s.starting = nil
	s.mu.Unlock()
	for _, sub := range all {
		sub.end()
	}
}

// forget removes a subscription that has ended by itself.
func (s *session) forget(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscriptions[sub.id] == sub {
		delete(s.subscriptions, sub.id)
	}
}

// unqueue takes a subscription that has ended out of the feeder's queue.
func (s *session) unqueue(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.starting, func(f *feed) bool { return f.sub == sub }); i >= 0 {
		s.starting = slices.Delete(s.starting, i, i+1)
	}
}

// subscriptionTo returns the subscription to a ShareData, or nil.
func (s *session) subscriptionTo(id string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions[id]
}

func (s *session) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
