package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// Proposal asks for one run of a function on a ShareData.
type Proposal struct {
	ShareDataID string
	FunctionID  string
	// Data is what is proposed: a json.RawMessage, or anything that
	// encoding/json can marshal.
	Data any
	// IdempotencyKey names the proposal: however often it is sent under one key,
	// it takes effect at most once, and a repeat gets the first verdict. Use a new
	// key for each intended change, and the same key to repeat a proposal after
	// ErrOutcomeUnknown or a crash. Default: 128 random bits.
	IdempotencyKey string
	// Proof authorizes exactly this change, where the server requires that; it is
	// marshalled like Data. It is good for one position of the ShareData, so that it
	// is refused where somebody else was faster: set Prove instead. Default: nil, none.
	Proof any
	// Prove makes the Proof for the position of the ShareData, and another one each
	// time that a proposal of somebody else came first, until the proposal has its
	// verdict or its time is up. The client must be subscribed to the ShareData, and
	// a loop must range over the events, which is how the client knows the position;
	// otherwise the proposal fails with ErrNotSubscribed, or waits. Default: nil.
	Prove Prover
}

// Result is the verdict on a proposal. The verdict is an entry in the history.
type Result struct {
	// Accepted is false where the function rejected the proposal.
	Accepted bool
	// Error is the reason of a rejection in words, Code for programs: the
	// function's own, or "rejected" where it has none. Details is what else the
	// function says, as JSON. Error and Details may be empty; all three are where
	// Accepted is true.
	Error   string
	Code    string
	Details json.RawMessage
	// TransactionID is that of the entry, whatever the verdict.
	TransactionID string
	// Duplicate says that the verdict is that of an earlier proposal with the
	// same idempotency key.
	Duplicate bool
}

// Propose proposes data to the function under a random idempotency key, and waits
// for the verdict. A rejection by the function is a verdict: a Result, not an
// error.
//
// Propose sends the proposal again under its key, on the connection then current,
// when a connection is lost or the server replies that it is busy, unavailable,
// shutting down or unsure of the outcome, or that a limit is reached. The delays
// between attempts grow from 100 ms to 5 s, and are at least what the server asks
// for. It gives up after Options.RequestTimeout or when the context ends.
//
// An error means that there is no verdict, and is one of two kinds:
//
//   - errors.Is(err, ErrOutcomeUnknown): the proposal may have taken effect. The
//     error is an *OutcomeUnknownError, which has the idempotency key. To learn
//     the outcome, call ProposeWith with that key. A proposal under a new key
//     might take effect a second time.
//   - Any other error: this call changed nothing. It is a *ProposalError where the
//     server refused; if its Temporary method returns true, the same proposal may
//     succeed later. ErrInvalid, ErrQueueFull, and an error that says "never sent"
//     with ErrTimeout, the context's error, ErrClosed, ErrNotSubscribed or the error of
//     a Prover in it: nothing was sent.
//
// ErrTimeout, the context's error and ErrClosed are found by errors.Is in errors
// of both kinds, as is the last error of the connection where there was no
// connection, for example ErrUnauthorized.
//
// To go on where errors.Is(err, ErrTimeout), call ProposeWith in a loop, with one
// key for all repetitions; the example of ProposeWith is such a loop. Another error
// would come again at once or very likely.
func (c *Client) Propose(ctx context.Context, shareDataID, functionID string, data any) (Result, error) {
	return c.ProposeWith(ctx, Proposal{ShareDataID: shareDataID, FunctionID: functionID, Data: data})
}

// ProposeWith is Propose for a proposal with an idempotency key of the caller's, or
// with a proof. Its errors speak of this call: if an earlier call with the same key
// ended with ErrOutcomeUnknown, an error of this one says nothing about that.
func (c *Client) ProposeWith(ctx context.Context, p Proposal) (Result, error) {
	id := c.correlationID()
	fields, frame, err := p.encode(id)
	if err != nil {
		return Result{}, fmt.Errorf("client: %w: %w", ErrInvalid, err)
	}
	request := newCall(id, frame, fields)
	if p.Prove != nil {
		request.proofMaker = &proofMaker{prove: p.Prove, proposal: *fields}
	}
	fields.ProposedData, fields.Proof = nil, nil // the frame has them
	got, err := c.roundTrip(ctx, request)
	if err != nil {
		return Result{}, err
	}
	verdict := got.result
	result := Result{
		Accepted:      verdict.Accepted,
		Error:         verdict.Error,
		Code:          verdict.Code,
		Details:       verdict.Details,
		TransactionID: verdict.TransactionID,
		Duplicate:     verdict.Duplicate,
	}
	if !result.Accepted && result.Code == "" {
		result.Code = codes.Rejected
	}
	return result, nil
}

// encode returns the proposal as a frame, without a proof where Prove makes it.
func (p *Proposal) encode(correlationID string) (*wire.Propose, []byte, error) {
	for _, text := range []string{p.ShareDataID, p.FunctionID, p.IdempotencyKey} {
		if !utf8.ValidString(text) {
			return nil, nil, fmt.Errorf("%.60q is not UTF-8", text)
		}
	}
	data, err := json.Marshal(p.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	fields := &wire.Propose{
		ShareDataID:    p.ShareDataID,
		FunctionID:     p.FunctionID,
		ProposedData:   data,
		CorrelationID:  correlationID,
		IdempotencyKey: p.IdempotencyKey,
	}
	if fields.IdempotencyKey == "" {
		fields.IdempotencyKey = rand.Text()
	}
	if p.Proof != nil {
		if p.Prove != nil {
			return nil, nil, errors.New("it has both Proof and Prove; set one of them")
		}
		if fields.Proof, err = json.Marshal(p.Proof); err != nil {
			return nil, nil, fmt.Errorf("proof: %w", err)
		}
	}
	frame, err := checkedFrame(fields)
	return fields, frame, err
}

// checkedFrame encodes a proposal, and decodes it as a server does, because a server
// closes the connection over a frame that does not parse.
func checkedFrame(fields *wire.Propose) ([]byte, error) {
	frame := fields.AppendTo(nil)
	_, err := wire.DecodeClient(frame, wire.Limits{MaxBytes: -1})
	return frame, err
}

// Ping returns how long the server takes to answer, from the moment the ping was
// handed to the connection that brought the answer. Its errors are ErrQueueFull,
// ErrTimeout, the context's error, ErrClosed, each as in Propose, and a
// *ServerError.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	id := c.correlationID()
	request := newCall(id, (&wire.Ping{CorrelationID: id}).AppendTo(nil), nil)
	got, err := c.roundTrip(ctx, request)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return got.at.Sub(request.sentAt), nil
}

// Delays between the attempts of a proposal.
const (
	firstRetryDelay = 100 * time.Millisecond
	maxRetryDelay   = 5 * time.Second
)

// retryDelays spaces the attempts of one proposal.
type retryDelays struct {
	backoff *backoff.ExponentialBackOff
	jitter  float64
}

func newRetryDelays(jitter float64) *retryDelays {
	return &retryDelays{
		backoff: newBackoff(Backoff{Initial: firstRetryDelay, Max: maxRetryDelay, Factor: 2, Jitter: jitter}),
		jitter:  jitter,
	}
}

// next returns the delay before the next attempt. Where the server asks for a longer
// one, it is that, longer by at most the share jitter and never shorter.
func (d *retryDelays) next(atLeast time.Duration) time.Duration {
	delay := d.backoff.NextBackOff()
	if delay > atLeast {
		return delay
	}
	return atLeast + time.Duration(mathrand.Float64()*d.jitter*float64(atLeast))
}

// roundTrip makes attempts until the call has its outcome. It runs on the
// goroutine of the caller, which also waits between the attempts.
func (c *Client) roundTrip(ctx context.Context, request *call) (outcome, error) {
	if timeout := c.options.RequestTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, ErrTimeout)
		defer cancel()
	}
	if ctx.Err() != nil {
		return outcome{}, request.failure(endOf(ctx))
	}
	if err := c.prove(ctx, request, false); err != nil {
		return outcome{}, c.neverSent(request, err)
	}
	if err := c.submit(request); err != nil {
		return outcome{}, err
	}
	var delays *retryDelays // nil until the first retry
	var due <-chan time.Time
	for {
		select {
		case got := <-request.outcomes:
			if !got.retry {
				return got, got.err
			}
			if got.stale {
				if err := c.prove(ctx, request, true); err != nil {
					return c.abandon(request, err)
				}
				c.retry(request)
				continue
			}
			if delays == nil {
				delays = newRetryDelays(c.options.Backoff.Jitter)
			}
			due = time.After(delays.next(got.retryAfter))
		case <-due:
			due = nil
			if err := c.prove(ctx, request, false); err != nil {
				return c.abandon(request, err)
			}
			c.retry(request)
		case <-ctx.Done():
			return c.abandon(request, endOf(ctx))
		}
	}
}

// endOf returns why the context ended. errors.Is finds the context's error in it.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
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

// retry sends a call that was refused for now again, now or when it can be.
func (c *Client) retry(request *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.retry(request)
	c.sendWaitingLocked()
}

// neverSent is the error of a call that is not submitted, for the cause.
func (c *Client) neverSent(request *call, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return request.failure(c.withConnectionErrorLocked(cause, request))
}

// abandon ends the call for the cause, unless it has an outcome by now, and
// returns the outcome.
func (c *Client) abandon(request *call, cause error) (outcome, error) {
	c.mu.Lock()
	err := request.failure(c.withConnectionErrorLocked(cause, request))
	c.calls.complete(request, outcome{err: err})
	if c.conn != nil {
		c.conn.removeLocked(request)
	}
	c.sendWaitingLocked()
	c.mu.Unlock()
	for {
		if got := <-request.outcomes; !got.retry {
			return got, got.err
		}
	}
}

// withConnectionErrorLocked adds to the cause why there was no connection, if there
// was none at some time since the call was made.
func (c *Client) withConnectionErrorLocked(cause error, request *call) error {
	if c.lostErr == nil || c.conn != nil && c.lostAt.Before(request.madeAt) {
		return cause
	}
	return fmt.Errorf("%w; the last connection error was: %w", cause, c.lostErr)
}
