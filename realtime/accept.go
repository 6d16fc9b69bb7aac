package realtime

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/safe-go/safe/sharedata"
)

// ServeHTTP upgrades a request to a WebSocket connection (RFC 6455 section 4)
// and returns; the connection goes on without it. It answers 401 to whoever
// does not authenticate, 403 to a foreign origin, 426 to what is no upgrade,
// and 503 with Retry-After while the server shuts down.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.isDraining() || !s.running.add() {
		refuseUpgrade(w)
		return
	}
	upgraded := false
	defer func() {
		if !upgraded {
			s.running.done()
		}
	}()
	upgraded = s.upgrade(w, r)
}

// retryAfter is the number of seconds after which a client may come back.
const retryAfter = "5"

func refuseUpgrade(w http.ResponseWriter) {
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
}

// upgrade returns whether there is a session now, which s.running counts.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) bool {
	caller, err := s.authenticate(r)
	if err != nil {
		s.log.Debug("not authenticated", "remote", r.RemoteAddr, "error", err)
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "authentication failed", http.StatusUnauthorized)
		return false
	}
	switch {
	case s.isDraining(): // since authenticating may take a while
		refuseUpgrade(w)
		return false
	case !canHijack(w):
		s.log.Error("a connection cannot be upgraded: its http.ResponseWriter can be neither hijacked nor unwrapped")
		http.Error(w, http.StatusText(http.StatusNotImplemented), http.StatusNotImplemented)
		return false
	}
	session, err := newSession(s, w, r, caller)
	if err != nil {
		s.log.Debug("not upgraded", "remote", r.RemoteAddr, "error", err)
		return false
	}
	s.enter(session)
	go func() {
		defer s.running.done()
		defer s.exit(session)
		defer s.recoverIn(session)
		session.run()
	}()
	return true
}

var errNobody = errors.New("nobody was authenticated")

// authenticate asks the application. A nil Caller and a nil error are what
// everybody gets where there is no hook.
func (s *Server) authenticate(r *http.Request) (caller *sharedata.Caller, err error) {
	if s.options.Authenticate == nil {
		return nil, nil
	}
	defer func() {
		if value := recover(); value != nil {
			s.log.Error("Authenticate panicked", "panic", value, "stack", string(debug.Stack()))
			caller, err = nil, errNobody
		}
	}()
	caller, err = s.options.Authenticate(r)
	if err == nil && caller == nil {
		err = errNobody
	}
	return caller, err
}

// enter makes a session one of the server's. The server may have begun to shut
// down while it was upgraded.
func (s *Server) enter(session *session) {
	s.mu.Lock()
	s.lastID++
	session.info.ID = s.lastID
	s.sessions[session] = struct{}{}
	draining := s.draining
	s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		session.cut("the server was closed")
	case draining:
		session.drain()
	}
}

func (s *Server) exit(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}
