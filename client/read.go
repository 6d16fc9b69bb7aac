package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// read applies frames until the connection ends. It never waits for a consumer.
func (conn *connection) read(ctx context.Context) error {
	c := conn.client
	var scratch bytes.Buffer
	for {
		data, err := conn.readMessage(ctx, &scratch)
		if err != nil {
			return err
		}
		// The length is bounded by Options.MaxMessageBytes, and a state may be
		// as deep as its owner likes.
		frame, err := wire.DecodeServer(data, wire.Limits{MaxBytes: -1, MaxDepth: -1})
		switch {
		case errors.Is(err, wire.ErrType):
			c.log.Warn("ignored a frame of unknown type", "error", err)
			continue
		case err != nil:
			return fmt.Errorf("the server sent a frame that cannot be understood: %w", err)
		}
		now := time.Now()
		c.mu.Lock()
		if c.stopErr == nil {
			conn.received = true
			conn.dispatchLocked(frame, now)
		}
		c.mu.Unlock()
	}
}

// maxScratch is the largest buffer that is kept for the next message, in bytes.
const maxScratch = 64 << 10

// readMessage returns one message in memory of its own, because events keep parts
// of it.
func (conn *connection) readMessage(ctx context.Context, scratch *bytes.Buffer) ([]byte, error) {
	kind, message, err := conn.ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, errors.New("the server sent a message that is not text")
	}
	if scratch.Cap() > maxScratch {
		*scratch = bytes.Buffer{}
	}
	scratch.Reset()
	if _, err := scratch.ReadFrom(message); err != nil {
		return nil, err
	}
	return bytes.Clone(scratch.Bytes()), nil
}

// dispatchLocked applies a frame.
func (conn *connection) dispatchLocked(frame wire.ServerMessage, now time.Time) {
	switch frame := frame.(type) {
	case *wire.State:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.Transaction:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.Lifecycle:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.ProposalResult:
		conn.proposalResultLocked(frame)
	case *wire.Pong:
		conn.pongLocked(frame, now)
	case *wire.Authenticated:
		conn.handleAuthenticatedLocked(frame, now)
	case *wire.Error:
		conn.errorLocked(frame, now)
	}
}

// receiveLocked hands a frame of a ShareData to its subscription, unless the frame
// belongs to an earlier subscription.
func (conn *connection) receiveLocked(shareDataID string, frame wire.ServerMessage) {
	if conn.subscribes[shareDataID] != nil {
		if _, isState := frame.(*wire.State); !isState {
			return
		}
	}
	if s := conn.subscribeAnsweredLocked(shareDataID); s != nil {
		s.subscribeBackoff = nil
		conn.applyStepLocked(s, s.catchUp.receive(frame))
		s.notifyProversLocked()
	}
}

// subscribeAnsweredLocked removes the open subscribe, if there is one. It returns
// the subscription that the answer is for, or nil if that is closed or the subscribe is
// outdated; then it subscribes again, or for the next one, if there is one.
func (conn *connection) subscribeAnsweredLocked(shareDataID string) *Subscription {
	s := conn.client.subscriptions[shareDataID]
	request := conn.subscribes[shareDataID]
	delete(conn.subscribes, shareDataID)
	if request == nil || request.subscription == s && !request.outdated {
		return s
	}
	conn.unsubscribeLocked(shareDataID)
	if s != nil {
		conn.client.subscribeLocked(s)
	}
	return nil
}

// applyStepLocked does what the catch-up of a subscription decided.
func (conn *connection) applyStepLocked(s *Subscription, step step) {
	c := conn.client
	for _, it := range step.items {
		before := s.receivedLocked()
		if !s.pushLocked(it, step.removed) {
			c.log.Debug("paused a subscription whose consumer is slow", "shareDataId", s.id)
			s.paused = true
			s.catchUp.stop()
			conn.unsubscribeLocked(s.id)
			return
		}
		if it.after.known && !it.after.isAt(before) {
			conn.progressed = true
		}
	}
	switch {
	case step.removed:
		c.endSubscriptionLocked(s.id, nil)
	case step.resubscribe:
		c.log.Warn("subscribing again: the server did not send what it promised", "shareDataId", s.id)
		conn.unsubscribeLocked(s.id)
		if step.later {
			conn.delaySubscribeLocked(s.id, time.Now(), 0)
		} else {
			c.subscribeLocked(s)
		}
	case step.barrier:
		id := c.correlationID()
		conn.barriers[id] = barrier{subscription: s, round: s.round}
		conn.sendLocked((&wire.Ping{CorrelationID: id}).AppendTo(nil), nil)
	}
}

// proposalResultLocked applies the reply to a proposal.
func (conn *connection) proposalResultLocked(frame *wire.ProposalResult) {
	c := conn.client
	proposal := c.calls.find(frame.CorrelationID, conn)
	if proposal == nil || proposal.fields == nil {
		c.log.Debug("ignored the result of an unknown proposal", "correlationId", frame.CorrelationID)
		return
	}
	conn.progressed = true
	c.calls.reply(proposal, frame)
	c.sendWaitingLocked()
}

// pongLocked applies the reply to a ping, to a barrier, or to the ping that asks
// when the token expires.
func (conn *connection) pongLocked(frame *wire.Pong, now time.Time) {
	c := conn.client
	if conn.expiryPing != "" && frame.CorrelationID == conn.expiryPing {
		conn.handleExpiryPongLocked(frame, now)
		return
	}
	if b, ok := conn.barriers[frame.CorrelationID]; ok {
		delete(conn.barriers, frame.CorrelationID)
		if b.subscription.round == b.round {
			conn.applyStepLocked(b.subscription, b.subscription.catchUp.barrierPassed())
		}
		return
	}
	ping := c.calls.find(frame.CorrelationID, conn)
	if ping == nil || ping.fields != nil {
		c.log.Debug("ignored the pong of an unknown ping", "correlationId", frame.CorrelationID)
		return
	}
	conn.progressed = true
	c.calls.complete(ping, outcome{at: now})
	c.sendWaitingLocked()
}

// errorLocked applies an error frame.
func (conn *connection) errorLocked(frame *wire.Error, now time.Time) {
	c := conn.client
	conn.lastError, conn.attributed = *frame, false
	if failed := c.calls.find(frame.CorrelationID, conn); failed != nil {
		conn.attributed = true
		if failed.fields == nil {
			c.calls.complete(failed, outcome{err: serverError(*frame)})
		} else {
			c.calls.refuse(failed, &wire.ProposalResult{Code: frame.Code, Error: frame.Message, RetryAfterMs: frame.RetryAfterMs})
		}
		c.sendWaitingLocked()
		return
	}
	if conn.handleRenewalErrorLocked(frame, now) || conn.handleBarrierErrorLocked(frame, now) {
		conn.attributed = true
		return
	}
	c.log.Warn("the server reported an error", "code", frame.Code, "message", frame.Message, "shareDataId", frame.ShareDataID)
	switch {
	case frame.Code == codes.ReplayCursorNotFound:
		conn.cursorNotFoundLocked(frame)
		return
	case frame.Code == codes.InvalidMessage:
		return // The connection is about to be closed for it.
	case isTemporary(frame.Code) || frame.Code == codes.InternalError:
		// The subscribe is refused, or the subscription was ended, for now. One that
		// is paused, or waits to be repeated, is not concerned.
		s := conn.client.subscriptions[frame.ShareDataID]
		if conn.subscribes[frame.ShareDataID] != nil || s != nil && !s.paused && s.subscribeAt.IsZero() {
			conn.delaySubscribeLocked(frame.ShareDataID, now, retryAfter(frame.RetryAfterMs))
		}
	case frame.ShareDataID != "", refusesSubscribe(frame.Code):
		if conn.refuseSubscribeLocked() {
			return
		}
	}
	c.status.add(Status{State: Open, Err: serverError(*frame)})
}

// refusesSubscribe reports whether an error with the code is about a subscribe, also
// where it names no ShareData. An authorizer has codes of its own.
func refusesSubscribe(code string) bool {
	switch code {
	case codes.UnknownShareData, codes.UnauthorizedSubscribe, codes.TooManySubscriptions:
		return true
	}
	return false
}

// handleBarrierErrorLocked handles an error frame about a barrier: the subscription
// begins again, later. It reports whether the error is about one.
func (conn *connection) handleBarrierErrorLocked(frame *wire.Error, now time.Time) bool {
	b, ok := conn.barriers[frame.CorrelationID]
	if !ok {
		return false
	}
	delete(conn.barriers, frame.CorrelationID)
	s := b.subscription
	if s.round == b.round && conn.client.subscriptions[s.id] == s {
		conn.unsubscribeLocked(s.id)
		conn.delaySubscribeLocked(s.id, now, retryAfter(frame.RetryAfterMs))
	}
	return true
}

// refuseSubscribeLocked ends the subscription that the last error frame refuses. It
// reports whether there is one.
func (conn *connection) refuseSubscribeLocked() bool {
	refusal := serverError(conn.lastError)
	if refusal.ShareDataID == "" {
		frames := conn.unansweredLocked()
		i := attributeSubscribe(conn.lastError, frames)
		if i == none {
			return false
		}
		refusal.ShareDataID = frames[i].shareDataID
	}
	conn.attributed = true
	if s := conn.subscribeAnsweredLocked(refusal.ShareDataID); s != nil {
		conn.client.endSubscriptionLocked(s.id, refusal)
	}
	return true
}

// cursorNotFoundLocked applies a replay-cursor-not-found. Where the frame does not
// name the ShareData, its text may quote the cursor. Where the text does not, the
// frame may be about any subscription that mayConcern reports, and all of them get
// a Gap: one too many is better than one too few.
func (conn *connection) cursorNotFoundLocked(frame *wire.Error) {
	c := conn.client
	if frame.ShareDataID != "" {
		if s := c.subscriptions[frame.ShareDataID]; s != nil && conn.subscribes[s.id] == nil {
			conn.applyStepLocked(s, s.catchUp.cursorNotFound(frame.Message))
		}
		return
	}
	longest := 0
	var concerned []*Subscription
	for _, s := range c.orderedSubscriptionsLocked() {
		if !s.catchUp.mayConcern() {
			continue
		}
		quoted := 0
		if strings.Contains(frame.Message, s.catchUp.since) {
			quoted = len(s.catchUp.since)
		}
		switch {
		case quoted > longest:
			longest, concerned = quoted, []*Subscription{s}
		case quoted == longest:
			concerned = append(concerned, s)
		}
	}
	for _, s := range concerned {
		conn.applyStepLocked(s, s.catchUp.cursorNotFound(frame.Message))
	}
}
