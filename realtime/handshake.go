package realtime

import (
	"context"
	"errors"
	"net/http"
	"time"
)

var errHandshakeTimeout = errors.New("the handshake took longer than realtime.Options.HandshakeTimeout")

// isTransient reports whether an error of authentication says nothing about the caller.
func isTransient(err error) bool {
	return errors.Is(err, errDisconnecting) || errors.Is(err, errHandshakeTimeout) || errors.Is(err, ErrUnavailable)
}

// handshakeDeadline returns the time by which a handshake that begins now is to be
// done; the zero time is never.
func (s *Server) handshakeDeadline() time.Time {
	if s.options.HandshakeTimeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(s.options.HandshakeTimeout)
}

// openWithTimeout is openRequest with a context that ends with the handshake. A hook that
// fails because of that says nothing about the caller, so the error is
// errHandshakeTimeout then.
func (s *Server) openWithTimeout(r *http.Request, remote string) (*pendingConnection, error) {
	deadline := s.handshakeDeadline()
	if deadline.IsZero() {
		return s.openRequest(r, remote)
	}
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	pending, err := s.openRequest(r.WithContext(ctx), remote)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, errHandshakeTimeout
	}
	return pending, err
}
