package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/wire"
)

// call is a propose or a ping on its way to an answer.
type call struct {
	id    string // the correlation id
	frame []byte
	ping  bool
	// shareDataID and functionID name the proposal in an error.
	shareDataID, functionID string

	// Guarded by the client's lock: the connection whose writer took the frame
	// last, and when.
	sentOn *connection
	sentAt time.Time
	// over: none waits for the answer any more.
	over bool
	// probing: the server closed a connection for this call or another one.
	probing bool

	// answered takes the outcome. It has room for it, so that none who
	// delivers it waits.
	answered chan outcome
}

// outcome is what became of a call: a *wire.ProposalResult or *wire.Pong, or
// an error.
type outcome struct {
	answer wire.ServerMessage
	err    error
	at     time.Time
}

func newCall(id string, frame []byte) *call {
	return &call{id: id, frame: frame, answered: make(chan outcome, 1)}
}

// complete ends the call. It was removed from calls before.
func (c *call) complete(o outcome) { c.answered <- o }

// refused is the error of a call that the server did not take, for the cause.
func (c *call) refused(cause error) error {
	if c.ping {
		return cause
	}
	refusal := &ProposalError{ShareDataID: c.shareDataID, FunctionID: c.functionID, Message: cause.Error()}
	var server *ServerError
	if errors.As(cause, &server) {
		refusal.Code, refusal.Message = server.Code, server.Message
	}
	return refusal
}

// calls holds what is not answered yet: first what was sent, in the order of
// sending, then what waits to be sent, in the order of the calls. It is guarded
// by the client's lock.
type calls struct {
	maxWaiting, maxInFlight int

	inFlight []*call
	waiting  []*call
	probing  int // how many of them are; while there are any, one is sent at a time
}

// add takes a new call. It waits if nothing can be sent now.
func (q *calls) add(c *call, connected bool) error {
	sendable := connected && len(q.waiting) == 0 && len(q.inFlight) < q.maxInFlight
	if !sendable && len(q.waiting) >= q.maxWaiting {
		return ErrQueueFull
	}
	q.waiting = append(q.waiting, c)
	return nil
}

// next moves the call that has waited longest in flight and returns it; nil if
// none waits or too many are in flight.
func (q *calls) next() *call {
	limit := q.maxInFlight
	if q.probing > 0 {
		limit = 1
	}
	if len(q.waiting) == 0 || len(q.inFlight) >= limit {
		return nil
	}
	c := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.inFlight = append(q.inFlight, c)
	return c
}

// find returns the call in flight that has the id, or nil.
func (q *calls) find(id string) *call {
	for _, c := range q.inFlight {
		if c.id == id {
			return c
		}
	}
	return nil
}

// remove reports whether the call was still there, and takes it out.
func (q *calls) remove(c *call) bool {
	for _, list := range []*[]*call{&q.inFlight, &q.waiting} {
		if i := slices.Index(*list, c); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			q.ended(c)
			return true
		}
	}
	return false
}

func (q *calls) ended(c *call) {
	c.over = true
	if c.probing {
		q.probing--
	}
}

// probe makes the calls in flight wait again, before all others, to be sent
// one at a time: the server will not have one of them, and which one shows when
// it is alone.
func (q *calls) probe() {
	for _, c := range q.inFlight {
		if !c.probing {
			c.probing = true
			q.probing++
		}
	}
	q.waiting = slices.Concat(q.inFlight, q.waiting)
	q.inFlight = nil
}

// drain removes and returns everything.
func (q *calls) drain() []*call {
	all := slices.Concat(q.inFlight, q.waiting)
	q.inFlight, q.waiting = nil, nil
	for _, c := range all {
		q.ended(c)
	}
	return all
}

// submit sends the call, now or when it can be.
func (c *Client) submit(request *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopErr != nil {
		return c.stopErr
	}
	if err := c.calls.add(request, c.conn != nil); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c.sendWaitingLocked()
	return nil
}

// abandon takes back a call. It reports whether there was still time to, and
// whether its frame was written by then.
func (c *Client) abandon(request *call) (abandoned, written bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandoned = c.calls.remove(request)
	c.sendWaitingLocked()
	return abandoned, !request.sentAt.IsZero()
}
