package realtime

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/safe-go/safe/sharedata"
)

var errHandshakeTimeout = errors.New("the handshake took too long")

// handshakeDeadline returns the time by which a handshake that begins now is to be
// done; the zero time is never.
func (s *Server) handshakeDeadline() time.Time {
	if s.options.HandshakeTimeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(s.options.HandshakeTimeout)
}

// authenticateUntil asks the application, and ends the context of its hook at the
// deadline. A hook that fails because of that says nothing about the caller, so the
// error is errHandshakeTimeout then.
func (s *Server) authenticateUntil(deadline time.Time, r *http.Request) (*sharedata.Caller, error) {
	if deadline.IsZero() {
		return s.authenticate(r)
	}
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	caller, err := s.authenticate(r.WithContext(ctx))
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, errHandshakeTimeout
	}
	return caller, err
}
