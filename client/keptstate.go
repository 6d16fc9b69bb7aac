package client

import "errors"

// keepsStateLocked reports whether the subscription keeps the state, and so asks for
// patches.
func (s *Subscription) keepsStateLocked() bool {
	return s.client.options.KeptStateBytes > 0 && !s.wholeStates
}

// boundStateLocked lets the subscription go on with whole states where the state, of
// that size, is too large to be kept.
func (s *Subscription) boundStateLocked(size int) {
	if s.keepsStateLocked() && size > s.client.options.KeptStateBytes {
		s.client.log.Info("a state is too large to be kept; subscribing to whole states", "shareDataId", s.id, "bytes", size)
		s.wholeStates = true
		if s.catchUp.patched {
			s.resubscribeLocked()
		}
	}
	if !s.keepsStateLocked() {
		s.delivered.state = nil
	}
}

// rejectStateLocked begins again with the whole state, because a state that was received
// or computed must not be used: what waits is dropped, and the consumer gets a Gap,
// unless it waits for a State already. Where the state is not even as it was sent,
// nothing that is computed from it would be, and the subscription goes on with whole
// states, for which the server sends no hashes.
func (s *Subscription) rejectStateLocked(failure error) {
	var stateErr *stateError
	s.wholeStates = s.wholeStates || errors.As(failure, &stateErr) && stateErr.received
	s.client.log.Warn("subscribing again: the state differs from the server's", "shareDataId", s.id, "cause", failure, "patches", !s.wholeStates)
	var removal item
	if n := len(s.buffer); n > 0 {
		if last, ok := s.buffer[n-1].event.(*Lifecycle); ok && last.Removed {
			removal = s.buffer[n-1]
		}
	}
	s.dropLocked()
	if s.delivered.known {
		s.pushLocked(item{event: &Gap{ShareDataID: s.id, Cursor: s.delivered.cursor, Reason: failure.Error()}}, true)
	}
	if removal.event != nil {
		s.pushLocked(removal, true)
	}
	if !s.ended {
		s.resubscribeLocked()
	}
}

// resubscribeLocked begins another round. One that is delayed begins when it is due.
func (s *Subscription) resubscribeLocked() {
	subscribed := !s.paused && s.subscribeAt.IsZero()
	s.paused = false
	s.catchUp.stop()
	conn := s.client.conn
	if conn == nil || !s.subscribeAt.IsZero() {
		return
	}
	if request := conn.subscribes[s.id]; request != nil {
		request.outdated = true
		return
	}
	if subscribed {
		conn.unsubscribeLocked(s.id)
	}
	s.client.subscribeLocked(s)
}
