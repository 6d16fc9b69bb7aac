package realtime

import (
	"time"

	"github.com/safe-go/safe/sharedata"
)

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

// closeIfExpired ends the session if its caller has expired. It is called before what a
// caller must not do after that: the timer may be late, above all after the clock was
// set.
func (s *session) closeIfExpired() {
	if s.expires.Load() && s.server.isExpired(s.caller()) {
		s.expire()
	}
}

// expire ends the session if its caller has expired and was not renewed meanwhile.
func (s *session) expire() {
	s.mu.Lock()
	expired := s.server.isExpired(s.caller())
	if !expired && !s.closing { // renewed, or the clock was set back
		s.server.expiries.set(&s.expiryAlarm, s.server.expiry(s.caller()))
	}
	s.mu.Unlock()
	if expired {
		s.closeUnauthorized(reasonExpired)
	}
}

// startExpiry has the session end when its caller expires.
func (s *session) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.server.expiries.set(&s.expiryAlarm, s.server.expiry(s.caller()))
	}
}
