package realtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// pendingConnection is a connection between its authentication and its
// registration as a session, where Disconnect finds it.
type pendingConnection struct {
	info Connection

	// Guarded by Server.mu.
	session   *session    // once it is registered
	closeWith *CloseFrame // how it is to be closed then; nil for not at all
}

// maxAuthentications bounds the retries caused by concurrent Disconnect calls.
const maxAuthentications = 3

var (
	errDisconnecting = errors.New("connections are being disconnected all the time")
	// errUnchecked: this server has never read the revocations.
	errUnchecked = fmt.Errorf("%w: revocations are unavailable", ErrUnavailable)
)

// Authenticate returns the caller of a request, as for a connection: it asks
// Options.Authenticate, and refuses a caller that has expired or was revoked. Other
// handlers of the service use it, so that Revoke holds for them too; the caller is nil
// where Options.Authenticate is not set. Errors are those of the hook, ErrExpired, and
// ErrUnavailable if it is not known who was revoked.
func (s *Server) Authenticate(r *http.Request) (*sharedata.Caller, error) {
	caller, err := s.authenticate(r)
	if err == nil {
		err = s.check(r.Context(), caller)
	}
	if err != nil {
		return nil, err
	}
	return caller, nil
}

// check says why a caller is not served.
func (s *Server) check(ctx context.Context, caller *sharedata.Caller) error {
	switch {
	case s.isExpired(caller):
		return errExpiredToken
	case s.checkRevocations(ctx) != nil:
		return errUnchecked
	case s.revocations.isRevoked(caller, time.Time{}):
		return errRevokedToken
	}
	return nil
}

// openRequest authenticates a request. Disconnect cannot match this connection before its
// caller is known, so a request is authenticated again if Disconnect was called
// meanwhile: the application may refuse the caller by now.
func (s *Server) openRequest(r *http.Request, remote string) (*pendingConnection, error) {
	for range maxAuthentications {
		disconnects := s.disconnects.Load()
		caller, err := s.Authenticate(r)
		if err != nil {
			return nil, err
		}
		if p := s.addPending(caller, remote, disconnects); p != nil {
			return p, nil
		}
	}
	return nil, errDisconnecting
}

// openAs is openRequest with its time-out, unless the caller is known.
func (s *Server) openAs(r *http.Request, remote string, caller *sharedata.Caller) (*pendingConnection, error) {
	if caller == nil {
		return s.openWithTimeout(r, remote)
	}
	disconnects := s.disconnects.Load()
	if err := s.check(r.Context(), caller); err != nil {
		return nil, err
	}
	if p := s.addPending(caller, remote, disconnects); p != nil {
		return p, nil
	}
	return nil, errDisconnecting
}

// addPending returns nil if Disconnect was called since the number was read.
func (s *Server) addPending(caller *sharedata.Caller, remote string, disconnects uint64) *pendingConnection {
	p := &pendingConnection{info: Connection{Caller: caller, RemoteAddr: remote, OpenedAt: time.Now()}}
	s.mu.Lock()
	s.pending[p] = struct{}{}
	s.mu.Unlock()
	if s.disconnects.Load() != disconnects {
		s.removePending(p)
		return nil
	}
	return p
}

// removePending is called when the connection is registered or has failed to open.
func (s *Server) removePending(p *pendingConnection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, p)
}

// disconnectPending closes the connection as soon as it is open. It returns false
// if the connection is closing already.
func (s *Server) disconnectPending(p *pendingConnection, with CloseFrame) bool {
	s.mu.Lock()
	if p.session == nil {
		first := p.closeWith == nil
		if first {
			p.closeWith = &with
		}
		s.mu.Unlock()
		return first
	}
	s.mu.Unlock()
	return p.session.close(with.Code, with.Reason)
}

// connections returns the open connections and the pending ones.
func (s *Server) connections() (sessions []*session, pending []*pendingConnection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		sessions = append(sessions, session)
	}
	for p := range s.pending {
		pending = append(pending, p)
	}
	return sessions, pending
}
