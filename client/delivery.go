package client

import "context"

// This file hands events to the consumer. What costs as much as the state is large,
// computing it and its hash, is done here, on the consumer's goroutine and without the
// lock.

// next waits for an event. After a removal it returns nil and no error.
func (s *Subscription) next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first, ended, err := s.firstEvent()
		if ended {
			return nil, err
		}
		if first.event != nil {
			if event := s.take(first, first.complete()); event != nil {
				return event, nil
			}
			continue
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// complete puts the state into the event. The error is a *stateError.
func (it item) complete() error {
	if it.state == nil {
		return nil
	}
	state, err := it.state.resolve()
	if err != nil {
		return err
	}
	it.event.setState(state)
	return nil
}

// firstEvent returns the oldest event that waits. Without one, ended says that no more
// come, and err why.
func (s *Subscription) firstEvent() (first item, ended bool, err error) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if len(s.buffer) == 0 {
		return item{}, s.ended, s.err
	}
	return s.buffer[0], false, nil
}

// take takes the event that firstEvent returned and moves the position past it, unless
// its state could not be computed. It returns nil if the event is not to be delivered.
func (s *Subscription) take(first item, failure error) Event {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if len(s.buffer) == 0 || s.buffer[0].event != first.event {
		return nil // It was dropped meanwhile.
	}
	if failure != nil {
		s.rejectStateLocked(failure)
		return nil
	}
	s.buffer[0] = item{}
	s.buffer = s.buffer[1:]
	s.buffered -= first.size
	s.delivered = first.after
	s.boundStateLocked(len(first.event.state()))
	if len(s.buffer) == 0 {
		s.buffer = nil
		if s.paused {
			s.paused = false
			s.client.subscribeLocked(s)
		}
	}
	return first.event
}

// pushLocked buffers an event. It returns false if the buffer is full, unless force
// is set.
func (s *Subscription) pushLocked(it item, force bool) bool {
	it.size = it.event.size()
	o := &s.client.options
	full := len(s.buffer) >= o.EventBuffer || s.buffered+it.size > o.EventBufferBytes
	if full && len(s.buffer) > 0 && !force {
		return false
	}
	s.buffer = append(s.buffer, it)
	s.buffered += it.size
	s.notify()
	return true
}

// receivedLocked is the position after everything that was received.
func (s *Subscription) receivedLocked() position {
	at := s.delivered
	if n := len(s.buffer); n > 0 {
		at = s.buffer[n-1].after
	}
	if !s.keepsStateLocked() {
		at.state = nil
	}
	return at
}

func (s *Subscription) notify() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// dropLocked drops the buffered events.
func (s *Subscription) dropLocked() { s.buffer, s.buffered = nil, 0 }
