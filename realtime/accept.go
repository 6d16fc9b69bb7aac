package realtime

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// ServeHTTP serves a request:
//
//	GET  {path}            with Upgrade: a WebSocket connection (RFC 6455, section 4)
//	GET  {path}            with Accept: text/event-stream: server-sent events
//	POST {path}/propose    one proposal
//	GET  {path}/state      one state
//	GET  {path}/history    a part of a history
//
// docs/protocol.md describes them. For a WebSocket it returns after the upgrade; the
// connection goes on without it. A request that is not authenticated, is expired or was
// revoked is answered with 401, one of another origin with 403 (see
// Options.OriginPatterns), one that is none of these with 426, one of an address or a
// caller with too many connections with 429 and Retry-After, and with 503 and
// Retry-After one that cannot be judged at the moment (ErrUnavailable, or where
// Authenticate takes longer than Options.HandshakeTimeout), and every one while the
// server shuts down or has too many connections.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serveEndpoint(w, r, nil, endpointOf(r))
}

// serveEndpoint serves a request by an endpoint. Options.Authenticate is asked unless the
// caller is known.
func (s *Server) serveEndpoint(w http.ResponseWriter, r *http.Request, caller *sharedata.Caller, endpoint endpoint) {
	if isPreflight(r) {
		s.servePreflight(w, r)
		return
	}
	if s.isDraining() || !s.running.add() {
		rejectDraining(w, r)
		return
	}
	goesOn := false
	defer func() {
		if !goesOn {
			s.running.done()
		}
	}()
	remote, address := s.options.remoteAddr(r)
	counted, over := s.admission.admit(address)
	if over != nil {
		s.rejectOverLimit(w, r, remote, over)
		return
	}
	defer func() {
		if !goesOn {
			counted.release()
		}
	}()
	goesOn = s.serve(w, r, remote, counted, caller, endpoint)
}

// retryAfter is how long a client should wait before it comes back.
const retryAfter = 5 * time.Second

// rejectForNow answers a request that may succeed later.
func rejectForNow(w http.ResponseWriter, r *http.Request, status int, why string) {
	code := codes.Unavailable
	if status == http.StatusTooManyRequests {
		code = codes.RateLimited
	}
	reject(w, r, newProblem(status, code, why).after(retryAfter))
}

// rejectDraining answers a request to a server that shuts down.
func rejectDraining(w http.ResponseWriter, r *http.Request) {
	reject(w, r, newProblem(http.StatusServiceUnavailable, codes.ShuttingDown, "the server is shutting down").after(retryAfter))
}

// serve authenticates a request and hands it to its endpoint. It returns whether there
// is a session now that goes on, which s.running and the admission count.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, remote string, counted *admitted, caller *sharedata.Caller, endpoint endpoint) (goesOn bool) {
	if !isUpgrade(r) && !s.allowOrigin(w, r) {
		rejectOrigin(w, r)
		return false
	}
	pending, err := s.openAs(r, remote, caller)
	switch {
	case isTransient(err):
		s.log.Warn("connections cannot be accepted", "remote", remote, "error", shorten(err.Error()))
		rejectForNow(w, r, http.StatusServiceUnavailable, "the server cannot accept connections at the moment")
		return false
	case err != nil:
		s.log.Warn("credentials refused", "remote", remote, "error", shorten(err.Error()))
		reject(w, r, newProblem(http.StatusUnauthorized, codes.Unauthorized, "authentication failed"))
		return false
	}
	defer s.removePending(pending)
	if over := counted.countSubject(pending.info.Caller); over != nil {
		s.rejectOverLimit(w, r, remote, over)
		return false
	}
	if s.isDraining() { // since authenticating may take a while
		rejectDraining(w, r)
		return false
	}
	return endpoint(s, w, r, pending, counted)
}

// serveWebSocket upgrades a request.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) (goesOn bool) {
	return s.upgrade(w, r, pending, counted, nil)
}

// upgrade upgrades a request. The options are those of an application's protocol, or nil.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted, options *WebSocketOptions) (goesOn bool) {
	if !canHijack(w) {
		s.log.Error("a connection cannot be upgraded: its http.ResponseWriter can be neither hijacked nor unwrapped")
		http.Error(w, http.StatusText(http.StatusNotImplemented), http.StatusNotImplemented)
		return false
	}
	h := &hijacker{ResponseWriter: w, deadline: s.handshakeDeadline(), poller: &s.poller}
	session := newSession(s, pending.info, counted)
	if err := acceptWebSocket(session, h, r, options); err != nil {
		session.ctx.cancel()
		session.serving.cancel()
		if h.status == http.StatusForbidden { // the library's check of the origin
			s.log.Warn("origin refused; if its pages may connect, add it to realtime.Options.OriginPatterns",
				"origin", shorten(r.Header.Get("Origin")), "host", shorten(r.Host), "remote", pending.info.RemoteAddr)
		}
		s.log.Debug("not upgraded", "remote", pending.info.RemoteAddr, "error", shorten(err.Error()))
		return false
	}
	s.register(session, pending)
	s.startSession(session, s.startReading)
	return true
}

// startSession begins a registered session, which s.running counts, and has it read. It
// does not wait for its end.
func (s *Server) startSession(session *session, read func(*session)) {
	defer read(session)
	session.begin()
}

// runSession is startSession on the goroutine of the caller, until the end.
func (s *Server) runSession(session *session) {
	defer s.readSession(session)
	session.begin()
}

// startReading has a goroutine read from a session.
func (s *Server) startReading(session *session) { s.goroutines.start((*reader)(session)) }

// await has a session read when its peer sends something.
func (s *Server) await(session *session) {
	if parks, ok := session.transport.(parker); !ok || !parks.park(session) {
		go s.readSession(session) // a new one, whose stack is small
	}
}

// reader is a session as the task of its reader.
type reader session

// run implements task.
func (r *reader) run() { r.server.readSession((*session)(r)) }

// readSession reads until the session ends, or is to wait. Its frame, and those of what it
// calls until the transport waits, stay on the stack meanwhile.
func (s *Server) readSession(session *session) {
	err := session.read()
	if err == errReadOn {
		s.await(session)
		return
	}
	s.endSession(session, err)
}

func (s *Server) endSession(session *session, err error) {
	defer s.running.done()
	defer session.closeDone()
	defer session.end()
	defer s.unregister(session)
	defer s.recoverIn(session)
	session.finish(err)
}

var errNoCaller = errors.New("no caller was authenticated")

// authenticate asks the application. Without a hook every request gets a nil
// Caller and no error.
func (s *Server) authenticate(r *http.Request) (caller *sharedata.Caller, err error) {
	if s.options.Authenticate == nil {
		return nil, nil
	}
	defer func() {
		if value := recover(); value != nil {
			s.log.Error("Authenticate panicked", "panic", value, "stack", string(debug.Stack()))
			caller, err = nil, errNoCaller
		}
	}()
	caller, err = s.options.Authenticate(r)
	if err == nil && caller == nil {
		err = errNoCaller
	}
	return caller, err
}

// register makes a session one of the server's. The server may have begun to shut
// down while it was upgraded.
func (s *Server) register(session *session, pending *pendingConnection) {
	s.mu.Lock()
	s.lastID++
	session.info.ID = s.lastID
	session.name = strconv.FormatUint(s.lastID, 10) + "/" + session.info.RemoteAddr
	s.sessions[session] = struct{}{}
	pending.session = session
	closeWith, draining := pending.closeWith, s.draining
	confirming := s.beginConfirmingLocked()
	s.mu.Unlock()
	if confirming {
		s.spawn(nil, s.renewLease)
	}
	switch {
	case s.revocations.isRevoked(session.caller(), session.info.OpenedAt): // since it was checked
		session.closeUnauthorized(reasonRevoked)
	case closeWith != nil:
		session.close(closeWith.Code, closeWith.Reason)
	case s.ctx.Err() != nil:
		session.cut("the server was closed")
	case draining:
		session.drain()
	}
}

func (s *Server) unregister(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
	if len(s.sessions) == 0 {
		s.lease.wakeUp()
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}
