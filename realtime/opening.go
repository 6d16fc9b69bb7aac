package realtime

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// opening is a connection between its authentication and its registration as a
// session. It makes Disconnect find connections that are being opened.
type opening struct {
	info Connection

	// Guarded by Server.mu.
	session *session    // once it is registered
	refused *CloseFrame // how it is to be closed then; nil for not at all
}

// maxAuthentications is how often a request is authenticated because Disconnect
// was called meanwhile.
const maxAuthentications = 3

var (
	errDisconnecting = errors.New("connections are being disconnected all the time")
	// errUnchecked: the store could never be read, so it is not known whether the
	// caller was revoked.
	errUnchecked = fmt.Errorf("%w: revocations are unavailable", ErrUnavailable)
)

// Authenticate returns the caller of a request, as for a connection: it asks
// Options.Authenticate, and refuses a caller that has expired or was revoked. Other
// handlers of the service use it, so that Revoke holds for them too; the caller is nil
// where Options.Authenticate is not set. Errors are those of the hook, ErrExpired, and
// ErrUnavailable if it is not known who was revoked.
func (s *Server) Authenticate(r *http.Request) (*sharedata.Caller, error) {
	caller, err := s.authenticate(r)
	switch {
	case err != nil:
		return nil, err
	case s.isExpired(caller):
		return nil, errExpiredToken
	case s.checkRevocations(r.Context()) != nil:
		return nil, errUnchecked
	case s.revocations.isRevoked(caller, time.Time{}):
		return nil, errRevokedToken
	}
	return caller, nil
}

// open authenticates a request. If Disconnect is called meanwhile, its match
// cannot be asked about the caller yet, and the application may keep the caller
// out by now, so the request is authenticated again.
func (s *Server) open(r *http.Request, remote string) (*opening, error) {
	for range maxAuthentications {
		disconnects := s.disconnects.Load()
		caller, err := s.Authenticate(r)
		if err != nil {
			return nil, err
		}
		o := &opening{info: Connection{Caller: caller, RemoteAddr: remote, OpenedAt: time.Now()}}
		s.mu.Lock()
		s.openings[o] = struct{}{}
		s.mu.Unlock()
		if s.disconnects.Load() == disconnects {
			return o, nil
		}
		s.forget(o)
	}
	return nil, errDisconnecting
}

// forget is called when the connection is registered or has failed to open.
func (s *Server) forget(o *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.openings, o)
}

// disconnectOpening closes the connection as soon as it is open. It returns false
// if the connection is closing already.
func (s *Server) disconnectOpening(o *opening, with CloseFrame) bool {
	s.mu.Lock()
	if o.session == nil {
		first := o.refused == nil
		if first {
			o.refused = &with
		}
		s.mu.Unlock()
		return first
	}
	s.mu.Unlock()
	return o.session.close(with.Code, with.Reason)
}

// connections returns the open connections and those that are being opened.
func (s *Server) connections() (sessions []*session, openings []*opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		sessions = append(sessions, session)
	}
	for o := range s.openings {
		openings = append(openings, o)
	}
	return sessions, openings
}
