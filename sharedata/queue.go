package sharedata

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// request is a change that waits for its turn, and where its outcome goes.
type request struct {
	ctx      context.Context
	proposer proposer
	change   change
	// functions are registered when a create succeeds.
	functions Functions
	// observation is to begin at the position that is replied.
	observation *observation
	// rebind finds the function again after another process has created the
	// ShareData again; nil if no other process can.
	rebind func() (binding, error)
	// done is given the outcome. It must neither block nor panic. If submitted is
	// set, it is code of the application.
	done      func(outcome)
	submitted bool

	// stage says whether the request can still be withdrawn.
	stage atomic.Int32

	// The committer alone uses the rest.

	sequence uint64 // numbers the requests of the queue, from 1
	refused  error  // why it is not to be evaluated, if that is known
	result   result
}

// The stages of a request. It leaves stageQueued once.
const (
	stageQueued int32 = iota
	stageTaken
	stageWithdrawn
)

// withdraw reports whether the request was still queued. If so it will never be
// evaluated.
func (r *request) withdraw() bool { return r.stage.CompareAndSwap(stageQueued, stageWithdrawn) }

// proposer identifies one of those that take turns: a connection, a caller without
// one, or, where both are empty, the service itself.
type proposer struct {
	connection string
	caller     identity
}

// turn is what one proposer has in the queue, oldest first.
type turn struct {
	proposer proposer
	requests []*request
	next     *turn
}

// requestQueue holds what waits for the committer of a ShareData: requests, and the
// store's notifications.
//
// Proposers take turns. One that has many requests, or slow ones, delays the
// others by one request per turn: after one of its requests was taken, a proposer
// goes behind all that wait when the next one is taken. The requests of one
// proposer keep their order.
type requestQueue struct {
	mu          sync.Mutex
	current     *turn              // of the request that was taken last
	first, last *turn              // the turns after it, in order
	turns       map[proposer]*turn // all of these, while there are more than fewTurns
	count       int                // of turns
	waiting     int                // requests in all turns
	sequence    uint64             // of the newest request
	running     bool               // a goroutine runs for the queue

	notifications notifications
	refreshTimer  *time.Timer   // schedules a refresh; nil while none is scheduled
	refreshDelay  time.Duration // of the last one scheduled; 0 after a refresh succeeded
}

// fewTurns is how many turns are searched one by one.
const fewTurns = 8

// isFullLocked reports whether a proposer must wait before it adds a request. Up to
// twice the limit, there is room for a proposer who has none waiting, so that those
// who have many do not keep others out.
func (q *requestQueue) isFullLocked(p proposer, limit int) bool {
	return q.waiting >= limit && (q.waiting >= 2*limit || q.hasWaitingLocked(p))
}

func (q *requestQueue) hasWaitingLocked(p proposer) bool {
	t := q.turnLocked(p)
	return t != nil && len(t.requests) > 0
}

// pushLocked adds a new request.
func (q *requestQueue) pushLocked(r *request) {
	q.sequence++
	r.sequence = q.sequence
	q.addLocked(r)
}

func (q *requestQueue) addLocked(r *request) {
	q.waiting++
	t := q.turnLocked(r.proposer)
	if t == nil {
		t = &turn{proposer: r.proposer}
		q.appendLocked(t)
		q.count++
		q.indexLocked(t)
	}
	t.requests = append(t.requests, r)
}

func (q *requestQueue) turnLocked(p proposer) *turn {
	if q.turns != nil {
		return q.turns[p]
	}
	if q.current != nil && q.current.proposer == p {
		return q.current
	}
	for t := q.first; t != nil; t = t.next {
		if t.proposer == p {
			return t
		}
	}
	return nil
}

// indexLocked notes a turn that was added, once there are many.
func (q *requestQueue) indexLocked(added *turn) {
	switch {
	case q.turns != nil:
		q.turns[added.proposer] = added
	case q.count > fewTurns:
		q.turns = make(map[proposer]*turn)
		if q.current != nil {
			q.turns[q.current.proposer] = q.current
		}
		for t := q.first; t != nil; t = t.next {
			q.turns[t.proposer] = t
		}
	}
}

func (q *requestQueue) appendLocked(t *turn) {
	if q.last == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
}

// pop returns the oldest request of the proposer whose turn it is, or nil.
func (q *requestQueue) pop() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.popLocked()
}

func (q *requestQueue) popLocked() *request {
	q.endTurnLocked()
	t := q.first
	if t == nil {
		return nil
	}
	if q.first, t.next = t.next, nil; q.first == nil {
		q.last = nil
	}
	q.current = t
	r := t.requests[0]
	t.requests[0] = nil
	t.requests = t.requests[1:]
	q.waiting--
	return r
}

// endTurnLocked puts the proposer of the request that was taken last behind all
// others, or forgets it if it has no more requests.
func (q *requestQueue) endTurnLocked() {
	t := q.current
	q.current = nil
	switch {
	case t == nil:
	case len(t.requests) > 0:
		q.appendLocked(t)
	default:
		q.count--
		delete(q.turns, t.proposer)
		if q.count == 0 {
			q.turns = nil
		}
	}
}

// popUpTo returns the requests with a sequence up to this one. Newer ones stay.
func (q *requestQueue) popUpTo(sequence uint64) (requests []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var newer []*request
	for r := q.popLocked(); r != nil; r = q.popLocked() {
		if r.sequence <= sequence {
			requests = append(requests, r)
		} else {
			newer = append(newer, r)
		}
	}
	for _, r := range newer {
		q.addLocked(r)
	}
	return requests
}

// newest returns the number of the newest request.
func (q *requestQueue) newest() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sequence
}

// hasRequests reports whether requests wait.
func (q *requestQueue) hasRequests() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting > 0
}

// take returns the notifications that came, and whether there is anything to do. If
// not, the queue has no goroutine any more, and the caller must end. pending says
// that the caller has requests left.
func (q *requestQueue) take(pending bool) (notified notifications, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	notified, q.notifications = q.notifications, notifications{}
	if q.running = pending || q.waiting > 0 || !notified.isEmpty(); !q.running {
		q.endTurnLocked() // nothing is kept for an idle queue
	}
	return notified, q.running
}
