package realtime

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// requestQueue is what one connection has asked about one ShareData and what has not
// been dealt with, in the order in which it came. A goroutine works it off, so
// a hook or a store that is slow about one ShareData holds up neither the
// others nor pings. Lanes exist only while they are not empty.
type requestQueue struct {
	waiting []wire.ClientMessage
}

// enqueueLocked appends a message to its request queue. It returns false if the server
// is closing.
func (s *session) enqueueLocked(id string, message wire.ClientMessage) bool {
	if l := s.queues[id]; l != nil {
		l.waiting = append(l.waiting, message)
		return true
	}
	l := &requestQueue{waiting: []wire.ClientMessage{message}}
	s.queues[id] = l
	if !s.server.spawn(s, func() { s.runQueue(id, l) }) {
		delete(s.queues, id)
		return false
	}
	return true
}

// runQueue is the goroutine of a request queue.
func (s *session) runQueue(id string, l *requestQueue) {
	for {
		s.mu.Lock()
		if len(l.waiting) == 0 {
			delete(s.queues, id)
			s.mu.Unlock()
			return
		}
		message := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		s.mu.Unlock()
		switch m := message.(type) {
		case *wire.Propose:
			s.propose(m)
		case *wire.Subscribe:
			s.subscribe(m)
			s.requestDone()
		case *wire.Unsubscribe:
			s.unsubscribe(m.ShareDataID)
			s.requestDone()
		}
	}
}

// request puts a subscribe or an unsubscribe into its request queue. Twice as many as a
// connection may have subscriptions can wait, so that all of them may be
// renewed at once, but a peer cannot queue without end.
func (s *session) request(id string, message wire.ClientMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return // the peer is about to be told to go elsewhere
	}
	if most := 2 * s.server.options.MaxSubscriptions; s.requests >= most {
		s.out.send(errorFrame(codes.RateLimited, id, fmt.Sprintf("%d subscribe and unsubscribe messages wait already; wait for their answers", most)))
		return
	}
	if s.enqueueLocked(id, message) {
		s.requests++
	}
}

func (s *session) requestDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests--
}
