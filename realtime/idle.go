package realtime

import (
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/schemas/codes"
)

// idleWatch finds out whether a connection is idle: it has no subscription and no
// proposal in flight, and has sent no message for Options.IdleTimeout. It looks once in
// that time.
type idleWatch struct {
	lastMessage atomic.Int64 // in nanoseconds after Connection.OpenedAt
	alarm       alarm        // set with session.mu held
}

// messageArrived is called by the reader.
func (s *session) messageArrived(now time.Time) {
	s.idle.lastMessage.Store(int64(now.Sub(s.info.OpenedAt)))
}

// quiet is the time between two messages from which on the reader's goroutine is
// replaced after a message (errReadOn), where the poller cannot wait for the next.
const quiet = time.Second

// isQuiet reports whether the last message came long after the one before, of which
// lastMessage is given, or was the first.
func (s *session) isQuiet(before int64) bool {
	return before == 0 || s.idle.lastMessage.Load()-before >= int64(quiet)
}

// startIdleWatch sets the alarm.
func (s *session) startIdleWatch() {
	timeout := s.server.options.IdleTimeout
	if timeout == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.server.alarms.set(&s.idle.alarm, time.Now().Add(timeout))
	}
}

// checkIdle closes the connection if it is idle. 1001 makes clients reconnect when
// they need it.
func (s *session) checkIdle() {
	timeout := s.server.options.IdleTimeout
	s.mu.Lock()
	remaining := timeout + time.Duration(s.idle.lastMessage.Load()) - time.Since(s.info.OpenedAt)
	if s.subscriptions.len() > 0 || s.queues.len() > 0 || s.unsent > 0 {
		remaining = timeout
	}
	if remaining > 0 && !s.closing {
		s.server.alarms.set(&s.idle.alarm, time.Now().Add(remaining))
	}
	s.mu.Unlock()
	if remaining <= 0 {
		s.close(codes.CloseGoingAway, "idle: no subscription and no message; reconnect when there is something to do")
	}
}
