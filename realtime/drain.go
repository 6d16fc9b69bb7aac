package realtime

import (
	"context"
	"time"
)

// drainInterval is the time between two groups of connections that Shutdown drains.
const drainInterval = 100 * time.Millisecond

// drainAll drains the open connections at the pace of Options.DrainPerSecond, so that
// their clients do not all come to the other servers at once. Until its turn, a
// connection is served as before.
func (s *Server) drainAll(ctx context.Context) {
	sessions := s.openSessions()
	group := s.drainGroup(ctx, len(sessions))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(sessions) > 0 {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return // Shutdown cuts the rest
		}
		n := min(group, len(sessions))
		for _, session := range sessions[:n] {
			session.drain()
		}
		sessions = sessions[n:]
		timer.Reset(drainInterval)
	}
}

// drainGroup returns how many connections are drained at a time: more than the option
// says where the context would otherwise end before half of its time is left for what is
// in flight.
func (s *Server) drainGroup(ctx context.Context, connections int) int {
	group := max(s.options.DrainPerSecond/int(time.Second/drainInterval), 1)
	if deadline, ok := ctx.Deadline(); ok {
		turns := max(int(time.Until(deadline)/2/drainInterval), 1)
		group = max(group, (connections+turns-1)/turns)
	}
	return group
}
