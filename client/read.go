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

// read takes frames until the connection ends. It never waits for a consumer.
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

// maxScratch is the size of a message up to which its buffer is used again.
const maxScratch = 64 << 10

// readMessage returns one message, in memory of its own: events keep parts.
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

// dispatchLocked does what a frame says.
func (conn *connection) dispatchLocked(frame wire.ServerMessage, now time.Time) {
	switch frame := frame.(type) {
	case *wire.State:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.Transaction:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.Lifecycle:
		conn.receiveLocked(frame.ShareDataID, frame)
	case *wire.ProposalResult:
		conn.replyLocked(frame.CorrelationID, frame, now)
	case *wire.Pong:
		conn.replyLocked(frame.CorrelationID, frame, now)
	case *wire.Error:
		conn.serverErrorLocked(frame, now)
	}
}

// receiveLocked hands a frame of a ShareData to its subscription, unless it is
// one for a subscription before it.
func (conn *connection) receiveLocked(shareDataID string, frame wire.ServerMessage) {
	if conn.subscribing[shareDataID] != nil {
		if _, isState := frame.(*wire.State); !isState {
			return
		}
	}
	if s := conn.subscribeAnsweredLocked(shareDataID); s != nil {
		s.subscribeBackoff = nil
		conn.applyStepLocked(s, s.catchUp.receive(frame))
	}
}

// subscribeAnsweredLocked takes note that a subscribe, if there is one, was answered. It
// returns the subscription that the answer is for, or nil if none waits for
// it: the subscription was closed, and maybe another one waits for its turn.
func (conn *connection) subscribeAnsweredLocked(shareDataID string) *Subscription {
	s := conn.client.subscriptions[shareDataID]
	a := conn.subscribing[shareDataID]
	delete(conn.subscribing, shareDataID)
	if a == nil || a.subscription == s {
		return s
	}
	conn.unsubscribeLocked(shareDataID)
	if s != nil {
		conn.client.subscribeLocked(s)
	}
	return nil
}

// applyStepLocked does what the catchUp of a subscription decided.
func (conn *connection) applyStepLocked(s *Subscription, step step) {
	c := conn.client
	for _, it := range step.items {
		before := s.receivedLocked()
		if !s.pushLocked(it, step.removed) {
			c.log.Debug("paused a subscription whose consumer is late", "shareDataId", s.id)
			s.paused = true
			s.catchUp.stop()
			conn.unsubscribeLocked(s.id)
			return
		}
		if it.after.known && it.after != before {
			conn.progressed = true
		}
	}
	switch {
	case step.removed:
		c.endSubscriptionLocked(s.id, nil)
	case step.resubscribe:
		c.log.Warn("subscribing again: the server did not send what it promised", "shareDataId", s.id)
		conn.unsubscribeLocked(s.id)
		c.subscribeLocked(s)
	case step.barrier:
		id := c.correlationID()
		conn.barriers[id] = barrier{subscription: s, round: s.round}
		conn.sendLocked((&wire.Ping{CorrelationID: id}).AppendTo(nil), nil)
	}
}

// replyLocked gives the answer to the call or the barrier that waits for it.
func (conn *connection) replyLocked(id string, answer wire.ServerMessage, now time.Time) {
	c := conn.client
	if f, ok := conn.barriers[id]; ok {
		delete(conn.barriers, id)
		if f.subscription.round == f.round {
			conn.applyStepLocked(f.subscription, f.subscription.catchUp.barrierPassed())
		}
		return
	}
	_, isPong := answer.(*wire.Pong)
	answered := c.calls.find(id)
	if answered == nil || answered.ping != isPong {
		c.log.Debug("ignored an answer that none waits for", "correlationId", id)
		return
	}
	c.calls.remove(answered)
	conn.progressed = true
	answered.complete(outcome{answer: answer, at: now})
	c.sendWaitingLocked()
}

// serverErrorLocked does what an error frame asks for.
func (conn *connection) serverErrorLocked(frame *wire.Error, now time.Time) {
	c := conn.client
	conn.report, conn.attributed = *frame, false
	serverError := conn.serverError()
	if failed := c.calls.find(frame.CorrelationID); failed != nil {
		conn.attributed = true
		c.calls.remove(failed)
		failed.complete(outcome{err: failed.refused(serverError), at: now})
		c.sendWaitingLocked()
		return
	}
	c.log.Warn("the server complained", "code", frame.Code, "message", frame.Message, "shareDataId", frame.ShareDataID)
	switch frame.Code {
	case codes.ReplayCursorNotFound:
		conn.cursorNotFoundLocked(frame)
		return
	case codes.UnknownShareData, codes.UnauthorizedSubscribe, codes.TooManySubscriptions:
		if conn.refuseSubscribeLocked(serverError) {
			return
		}
	case codes.Unavailable, codes.InternalError, codes.RateLimited:
		if conn.subscribing[frame.ShareDataID] != nil {
			conn.delaySubscribeLocked(frame.ShareDataID, now)
		}
	case codes.InvalidMessage:
		return // The connection is about to be closed for it.
	}
	c.status.add(Status{State: Open, Err: serverError})
}

// refuseSubscribeLocked ends the subscription that the server refuses. It reports
// whether it found it.
func (conn *connection) refuseSubscribeLocked(serverError *ServerError) bool {
	if serverError.ShareDataID == "" {
		frames := conn.unansweredLocked()
		i := attributeSubscribe(conn.report, frames)
		if i < 0 {
			return false
		}
		serverError.ShareDataID = frames[i].shareDataID
	}
	conn.attributed = true
	if s := conn.subscribeAnsweredLocked(serverError.ShareDataID); s != nil {
		conn.client.endSubscriptionLocked(s.id, serverError)
	}
	return true
}

// cursorNotFoundLocked tells the subscription whose cursor the server does not
// know. Where the frame does not name it, the text may quote the cursor;
// failing that, it may be any subscription whose outcome is open, and a gap too
// many is better than one too few.
func (conn *connection) cursorNotFoundLocked(frame *wire.Error) {
	c := conn.client
	if frame.ShareDataID != "" {
		if s := c.subscriptions[frame.ShareDataID]; s != nil && conn.subscribing[s.id] == nil {
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
