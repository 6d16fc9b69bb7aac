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
	session     *session
	shareDataID string
	waiting     []wire.ClientMessage // guarded by session.mu
}

// enqueueLocked appends a message to its queue. It returns false if the server
// is closing.
func (s *session) enqueueLocked(id string, message wire.ClientMessage) bool {
	if q := s.queues.get(id); q != nil {
		q.waiting = append(q.waiting, message)
		return true
	}
	if !s.server.running.add() {
		return false
	}
	q := &requestQueue{session: s, shareDataID: id, waiting: []wire.ClientMessage{message}}
	s.queues.set(id, q)
	s.server.goroutines.start(q)
	return true
}

// run implements task.
func (q *requestQueue) run() {
	s := q.session
	defer s.server.running.done()
	defer s.server.recoverIn(s)
	for {
		s.mu.Lock()
		if len(q.waiting) == 0 {
			s.queues.delete(q.shareDataID)
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
			s.replyUnsubscribed(m)
			s.finishRequest()
		}
	}
}

// enqueueRequest puts a subscribe or an unsubscribe into its queue. Twice as
// many as a connection may have subscriptions can wait, so that all of them may
// be renewed at once, but a peer cannot queue without bound.
func (s *session) enqueueRequest(id, correlationID string, message wire.ClientMessage) {
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
		s.out.send(f.refusalFrame(id, correlationID))
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
