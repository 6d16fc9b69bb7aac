package realtime

import (
	"context"

	"github.com/safe-go/safe/sharedata"
)

// sessionCaller is the caller of a session, with the contexts that carry it. It is
// immutable, and replaced as a whole when the caller renews its token.
type sessionCaller struct {
	caller *sharedata.Caller // nil where nobody is authenticated
	// connCtx ends with the connection. proposalCtx goes on after it, because a
	// proposal is evaluated even after its connection has ended, but not after its
	// caller has lost access (session.serving).
	connCtx, proposalCtx context.Context
}

// setCaller replaces the caller. mu is held, except before the session runs.
func (s *session) setCaller(caller *sharedata.Caller) {
	s.currentCaller.Store(&sessionCaller{
		caller:      caller,
		connCtx:     sharedata.WithCaller(&s.ctx, caller),
		proposalCtx: sharedata.WithCaller(&s.serving, caller),
	})
	s.expires.Store(!s.server.expiry(caller).IsZero())
}

func (s *session) caller() *sharedata.Caller { return s.currentCaller.Load().caller }

// connection describes the session with its present caller.
func (s *session) connection() Connection {
	info := s.info
	info.Caller = s.caller()
	return info
}
