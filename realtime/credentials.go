package realtime

import (
	"context"
	"time"

	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// credentials say who a session's caller is. They are immutable, and replaced as
// a whole when the caller renews its token.
type credentials struct {
	caller *sharedata.Caller // nil where nobody is authenticated
	// ctx ends with the connection. work goes on after it, because a proposal is
	// evaluated also when its connection has ended, but not when the caller is not
	// served any more. Both carry the caller.
	ctx, work context.Context
}

// newCredentials returns the credentials of a caller on the session.
func (s *session) newCredentials(caller *sharedata.Caller) *credentials {
	return &credentials{
		caller: caller,
		ctx:    sharedata.WithCaller(s.ctx, caller),
		work:   sharedata.WithCaller(s.serving, caller),
	}
}

func (s *session) caller() *sharedata.Caller { return s.credentials.Load().caller }

// connection describes the session with its present caller.
func (s *session) connection() Connection {
	info := s.info
	info.Caller = s.caller()
	return info
}

// expiry is the time from which on a caller is not served; zero for one that may
// stay for ever. It is a reading of the wall clock alone, because a monotonic
// clock does not notice when that is set.
func (s *Server) expiry(caller *sharedata.Caller) time.Time {
	if caller == nil || caller.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return caller.ExpiresAt.Add(s.options.ExpiryLeeway).Round(0)
}

// isExpired reports whether a caller is not served any more.
func (s *Server) isExpired(caller *sharedata.Caller) bool {
	at := s.expiry(caller)
	return !at.IsZero() && !time.Now().Before(at)
}

// Reasons of the close frame of a caller that is not served any more.
const (
	reasonExpired = "the token has expired; renew it and reconnect"
	reasonRevoked = "the credentials were revoked; get new ones and reconnect"
)

// expire ends the session if its caller has expired and was not renewed meanwhile.
func (s *session) expire() {
	s.mu.Lock()
	expired := s.server.isExpired(s.caller())
	if !expired && !s.closing { // renewed, or the clock was set back
		s.server.expiries.set(&s.expiryEntry, s.server.expiry(s.caller()))
	}
	s.mu.Unlock()
	if expired {
		s.shutOut(reasonExpired)
	}
}

// shutOut ends the session because its caller is not served any more. What is
// queued is dropped, so that no frame is begun after this; frames that are being
// written are completed, then the close frame is. Requests that wait, here or for
// their turn in the manager, are neither authorized nor evaluated. It does not block.
func (s *session) shutOut(reason string) {
	s.mu.Lock()
	s.excluded = true
	s.mu.Unlock()
	s.out.closeAtOnce(codes.CloseUnauthorized, reason)
	s.beginClosing()
	s.cancel()
	s.stopServing()
	s.endSubscriptions()
}

// isExcluded reports whether shutOut was called. It ends a session whose caller has
// expired: the timer of expiries may be late, above all after the clock was set.
func (s *session) isExcluded() bool {
	if s.server.isExpired(s.caller()) {
		s.expire()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.excluded
}

// startExpiry has the session end when its caller expires.
func (s *session) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.server.expiries.set(&s.expiryEntry, s.server.expiry(s.caller()))
	}
}
