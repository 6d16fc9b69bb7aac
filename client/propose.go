package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/internal/wire"
)

// Proposal asks for one run of a function on a ShareData.
type Proposal struct {
	ShareDataID string
	FunctionID  string
	// Data is what is proposed: a json.RawMessage, or anything that
	// encoding/json can marshal.
	Data any
	// IdempotencyKey names the proposal: however often it is sent under one
	// key, it takes effect at most once, and a repeat gets the first verdict.
	// Default: 128 random bits. A key of one's own makes it safe to repeat a
	// proposal after ErrTimeout or a crash.
	IdempotencyKey string
	// Proof authorizes exactly this change, where the server asks for that; it
	// is marshalled like Data. Default: nil, none.
	Proof any
}

// Result is the verdict on a proposal.
type Result struct {
	// Accepted is false where the function rejected the proposal; Error is
	// then its reason, where the server says so.
	Accepted bool
	Error    string
	// TransactionID is that of the entry in the history, whatever the verdict.
	TransactionID string
	// Duplicate says that the verdict is that of an earlier proposal with the
	// same idempotency key.
	Duplicate bool
}

// Propose proposes data to the function. It waits for the verdict, across lost
// connections: the proposal is sent again under one random idempotency key.
//
// A rejection by the function is a verdict, not an error. An error means that
// there is no verdict: a *ProposalError where the server refused, ErrInvalid
// and ErrQueueFull where nothing was sent, ErrTimeout or the context's error
// where it is not known whether the proposal took effect, ErrClosed.
func (c *Client) Propose(ctx context.Context, shareDataID, functionID string, data any) (Result, error) {
	return c.ProposeWith(ctx, Proposal{ShareDataID: shareDataID, FunctionID: functionID, Data: data})
}

// ProposeWith is Propose for a proposal with an idempotency key of one's own,
// or with a proof.
func (c *Client) ProposeWith(ctx context.Context, p Proposal) (Result, error) {
	id := c.correlationID()
	frame, err := p.frame(id)
	if err != nil {
		return Result{}, fmt.Errorf("client: %w: %w", ErrInvalid, err)
	}
	request := newCall(id, frame)
	request.shareDataID, request.functionID = p.ShareDataID, p.FunctionID
	got, err := c.roundTrip(ctx, request)
	if err != nil {
		return Result{}, err
	}
	answer := got.answer.(*wire.ProposalResult)
	if !answer.Accepted && answer.TransactionID == "" {
		return Result{}, &ProposalError{ShareDataID: p.ShareDataID, FunctionID: p.FunctionID, Message: answer.Error}
	}
	return Result{
		Accepted:      answer.Accepted,
		Error:         answer.Error,
		TransactionID: answer.TransactionID,
		Duplicate:     answer.Duplicate,
	}, nil
}

// frame encodes the proposal, and reads it as a server would: one that does
// not parse would cost the whole connection.
func (p *Proposal) frame(correlationID string) ([]byte, error) {
	for _, text := range []string{p.ShareDataID, p.FunctionID, p.IdempotencyKey} {
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%.60q is not UTF-8", text)
		}
	}
	data, err := json.Marshal(p.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	frame := &wire.Propose{
		ShareDataID:    p.ShareDataID,
		FunctionID:     p.FunctionID,
		ProposedData:   data,
		CorrelationID:  correlationID,
		IdempotencyKey: p.IdempotencyKey,
	}
	if frame.IdempotencyKey == "" {
		frame.IdempotencyKey = rand.Text()
	}
	if p.Proof != nil {
		if frame.Proof, err = json.Marshal(p.Proof); err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
	}
	encoded := frame.AppendTo(nil)
	if _, err := wire.DecodeClient(encoded, wire.Limits{MaxBytes: -1}); err != nil {
		return nil, err
	}
	return encoded, nil
}

// Ping returns how long the server takes to answer, from the moment the ping
// was handed to the connection that brought the answer. Its errors are those
// of Propose.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	id := c.correlationID()
	request := newCall(id, (&wire.Ping{CorrelationID: id}).AppendTo(nil))
	request.ping = true
	got, err := c.roundTrip(ctx, request)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return got.at.Sub(request.sentAt), nil
}

// roundTrip sends a call, now or as soon as possible, and waits for what
// becomes of it.
func (c *Client) roundTrip(ctx context.Context, request *call) (outcome, error) {
	if timeout := c.options.RequestTimeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, ErrTimeout)
		defer cancel()
	}
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("client: not sent: %w", context.Cause(ctx))
	}
	if err := c.submit(request); err != nil {
		return outcome{}, err
	}
	select {
	case got := <-request.answered:
		return got, got.err
	case <-ctx.Done():
	}
	switch abandoned, written := c.abandon(request); {
	case !abandoned:
		got := <-request.answered
		return got, got.err
	case written:
		return outcome{}, fmt.Errorf("client: sent, but not answered: %w", context.Cause(ctx))
	default:
		return outcome{}, fmt.Errorf("client: never sent: %w", context.Cause(ctx))
	}
}
