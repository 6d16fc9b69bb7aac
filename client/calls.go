package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// call is a propose or a ping, until it has its outcome. A proposal may take
// several attempts, which differ in the proof only.
type call struct {
	// Immutable.
	id         string        // the correlation id
	fields     *wire.Propose // what the frame says; nil for a ping
	madeAt     time.Time
	proofMaker *proofMaker // nil for none

	// Guarded by the client's lock.
	frame  []byte      // of the next attempt, or of the one that is not answered
	sentOn *connection // the connection of an attempt that is not answered; nil: none
	sentAt time.Time   // when the last attempt was sent
	// ambiguous: an earlier attempt may have taken effect. sentWithInvalid: it may,
	// unless it was for this call's frame that the server closed the connection with
	// "invalid message".
	ambiguous       bool
	sentWithInvalid bool
	probing         bool                 // see calls.probe
	refusal         *wire.ProposalResult // the reply without a verdict that came last

	// outcomes takes the end of each attempt. It has room for a refusal and the
	// final outcome, so that sending to it never blocks.
	outcomes chan outcome
}

// outcome is the end of an attempt.
type outcome struct {
	// result is the verdict; nil for a pong and where err is set.
	result *wire.ProposalResult
	at     time.Time // when a pong was received
	err    error
	// retry: the attempt was refused for now. The caller makes the next one, not
	// before retryAfter, and with another proof if this one was stale. Every other
	// outcome is final.
	retry      bool
	retryAfter time.Duration
	stale      bool
}

func newCall(id string, frame []byte, fields *wire.Propose) *call {
	return &call{id: id, frame: frame, fields: fields, madeAt: time.Now(), outcomes: make(chan outcome, 2)}
}

// setFrame replaces the frame while the call is not in flight.
func (c *call) setFrame(frame []byte) {
	// A reply to this frame says nothing about what became of the one before.
	c.ambiguous, c.sentWithInvalid = c.ambiguous || c.sentWithInvalid, false
	c.frame = frame
}

// mayHaveTakenEffect reports whether any attempt may have.
func (c *call) mayHaveTakenEffect() bool { return c.ambiguous || c.sentWithInvalid || c.sentOn != nil }

// failure is the error of a call that ends without a verdict or pong. The cause
// says why there is no further attempt; it is nil where the refusal is final.
func (c *call) failure(cause error) error {
	switch {
	case c.fields == nil && c.sentAt.IsZero():
		return fmt.Errorf("client: never sent: %w", cause)
	case c.fields == nil:
		return fmt.Errorf("client: sent, but not answered: %w", cause)
	case c.mayHaveTakenEffect():
		return &OutcomeUnknownError{
			ShareDataID:    c.fields.ShareDataID,
			FunctionID:     c.fields.FunctionID,
			IdempotencyKey: c.fields.IdempotencyKey,
			Err:            c.withRefusal(cause),
		}
	case c.refusal != nil:
		return &ProposalError{
			ShareDataID:    c.fields.ShareDataID,
			FunctionID:     c.fields.FunctionID,
			IdempotencyKey: c.fields.IdempotencyKey,
			Code:           c.refusal.Code,
			Message:        c.refusal.Error,
			Details:        c.refusal.Details,
			RetryAfter:     retryAfter(c.refusal.RetryAfterMs),
			Err:            cause,
		}
	}
	return fmt.Errorf("client: the proposal was never sent: %w", cause)
}

// withRefusal adds the last refusal, if there is one, to the cause, which may be
// nil if there is.
func (c *call) withRefusal(cause error) error {
	if c.refusal == nil {
		return cause
	}
	refusal := &ServerError{Code: c.refusal.Code, Message: c.refusal.Error, ShareDataID: c.fields.ShareDataID}
	if cause == nil {
		return refusal
	}
	return fmt.Errorf("%w; the last reply was: %w", cause, refusal)
}

// isTemporary reports whether the same proposal may succeed later.
func isTemporary(code string) bool {
	switch code {
	case codes.Unavailable, codes.Busy, codes.OutcomeUnknown, codes.ShuttingDown, codes.RateLimited:
		return true
	}
	return false
}

// retryAfter is the delay that the server asks for, at most a day.
func retryAfter(ms uint64) time.Duration {
	const mostMs = uint64(24 * time.Hour / time.Millisecond)
	return time.Duration(min(ms, mostMs)) * time.Millisecond
}

// calls holds the calls that have no outcome yet, at most maxInFlight plus
// maxWaiting. It is guarded by the client's lock.
type calls struct {
	maxWaiting, maxInFlight int

	inFlight []*call // handed to the connection and not answered, in this order
	waiting  []*call // to be sent, in this order
	retrying []*call // refused for now; their callers make them wait again
	probing  int     // how many calls are; while there are any, one is in flight at a time
}

// add takes a new call, as the last that waits.
func (q *calls) add(c *call, connected bool) error {
	sendable := connected && len(q.waiting) == 0 && len(q.inFlight) < q.maxInFlight
	delayed := len(q.waiting) + len(q.retrying)
	if !sendable && delayed >= q.maxWaiting || delayed+len(q.inFlight)-q.maxInFlight >= q.maxWaiting {
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

// find returns the call by the id that was sent on the connection and is not
// answered, or nil.
func (q *calls) find(id string, conn *connection) *call {
	for _, c := range q.inFlight {
		if c.id == id && c.sentOn == conn {
			return c
		}
	}
	return nil
}

// reply applies the result of a proposal in flight.
func (q *calls) reply(c *call, result *wire.ProposalResult) {
	if !result.Accepted && result.TransactionID == "" {
		q.refuse(c, result)
		return
	}
	c.sentOn = nil
	q.complete(c, outcome{result: result})
}

// refuse applies a reply without a verdict to a proposal in flight: it fails, or
// is sent again later.
func (q *calls) refuse(c *call, reply *wire.ProposalResult) {
	c.sentOn = nil
	c.refusal = reply
	if reply.Code == "" {
		reply.Code = CodeUnspecified
	}
	if reply.Code == codes.InvalidMessage {
		c.sentWithInvalid = false // These attempts had this frame, so none was understood.
	}
	stale := reply.Code == codes.ProofStale && c.proofMaker != nil
	if !stale && !isTemporary(reply.Code) {
		q.complete(c, outcome{err: c.failure(nil)})
		return
	}
	c.ambiguous = c.ambiguous || reply.Code == codes.OutcomeUnknown
	q.remove(c)
	q.retrying = append(q.retrying, c)
	c.outcomes <- outcome{retry: true, retryAfter: retryAfter(reply.RetryAfterMs), stale: stale}
}

// retry makes a call that was refused for now the last that waits, unless it has
// its outcome.
func (q *calls) retry(c *call) {
	if q.remove(c) {
		q.waiting = append(q.waiting, c)
	}
}

// complete removes the call and gives it its outcome. It does nothing to a call
// that has one.
func (q *calls) complete(c *call, o outcome) bool {
	if !q.remove(c) {
		return false
	}
	c.outcomes <- o
	return true
}

// remove takes the call out, and reports whether it was there.
func (q *calls) remove(c *call) bool {
	for _, list := range []*[]*call{&q.inFlight, &q.waiting, &q.retrying} {
		if i := slices.Index(*list, c); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			if c.probing {
				c.probing = false
				q.probing--
			}
			return true
		}
	}
	return false
}

// probe makes the calls in flight wait again, before all others, to be sent one
// at a time: the server does not accept one of them, and which one shows when it
// is alone.
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

// all returns the calls, those in flight first.
func (q *calls) all() []*call { return slices.Concat(q.inFlight, q.waiting, q.retrying) }
