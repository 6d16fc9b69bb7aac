package realtime

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// requestQueue has what one connection requested about one ShareData and what
// was not processed yet, in the order in which it came. A goroutine processes
// it, so a hook or a store that is slow about one ShareData delays neither the
// others nor pings. A queue exists only while it is not empty or one of its
// requests is being processed.
type requestQueue struct {
	waiting []wire.ClientMessage
}

// enqueueLocked appends a message to its queue. It returns false if the server
// is closing.
func (s *session) enqueueLocked(id string, message wire.ClientMessage) bool {
	if q := s.queues[id]; q != nil {
		q.waiting = append(q.waiting, message)
		return true
	}
	q := &requestQueue{waiting: []wire.ClientMessage{message}}
	s.queues[id] = q
	if !s.server.spawn(s, func() { s.runQueue(id, q) }) {
		delete(s.queues, id)
		return false
	}
	return true
}

// runQueue is the goroutine of a queue.
func (s *session) runQueue(id string, q *requestQueue) {
	for {
		s.mu.Lock()
		if len(q.waiting) == 0 {
			delete(s.queues, id)
			s.mu.Unlock()
			return
		}
		message := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		s.mu.Unlock()
		switch m := message.(type) {
		case *wire.Propose:
			s.propose(m)
		case *wire.Subscribe:
			s.subscribe(m)
			s.finishRequest()
		case *wire.Unsubscribe:
			s.unsubscribe(m.ShareDataID)
			s.finishRequest()
		}
	}
}

// enqueueRequest puts a subscribe or an unsubscribe into its queue. Twice as
// many as a connection may have subscriptions can wait, so that all of them may
// be renewed at once, but a peer cannot queue without bound.
func (s *session) enqueueRequest(id string, message wire.ClientMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return // the peer is about to be sent the close frame
	}
	if most := 2 * s.server.options.MaxSubscriptions; s.queued >= most {
		f := failure{
			code: codes.RateLimited, retryAfter: retryAfterRateLimited,
			text: fmt.Sprintf("%d subscribe and unsubscribe messages wait already; wait for their replies", most),
		}
		s.out.send(f.errorFrame(id))
		return
	}
	if s.enqueueLocked(id, message) {
		s.queued++
	}
}

func (s *session) finishRequest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued--
}
