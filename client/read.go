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
			conn.heard = true
			conn.takeLocked(frame, now)
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

// takeLocked does what a frame says.
func (conn *connection) takeLocked(frame wire.ServerMessage, now time.Time) {
	switch frame := frame.(type) {
	case *wire.State:
		conn.followLocked(frame.ShareDataID, frame)
	case *wire.Transaction:
		conn.followLocked(frame.ShareDataID, frame)
	case *wire.Lifecycle:
		conn.followLocked(frame.ShareDataID, frame)
	case *wire.ProposalResult:
		conn.answerLocked(frame.CorrelationID, frame, now)
	case *wire.Pong:
		conn.answerLocked(frame.CorrelationID, frame, now)
	case *wire.Error:
		conn.complainLocked(frame, now)
	}
}

// followLocked hands a frame of a ShareData to its subscription, unless it is
// one for a subscription before it.
func (conn *connection) followLocked(shareDataID string, frame wire.ServerMessage) {
	if conn.asking[shareDataID] != nil {
		if _, isState := frame.(*wire.State); !isState {
			return
		}
	}
	if s := conn.answeredLocked(shareDataID); s != nil {
		s.refusals = nil
		conn.applyLocked(s, s.tracker.receive(frame))
	}
}

// answeredLocked takes note that a subscribe, if there is one, was answered. It
// returns the subscription that the answer is for, or nil if nobody waits for
// it: the subscription was closed, and maybe another one waits for its turn.
func (conn *connection) answeredLocked(shareDataID string) *Subscription {
	s := conn.client.subscriptions[shareDataID]
	a := conn.asking[shareDataID]
	delete(conn.asking, shareDataID)
	if a == nil || a.subscription == s {
		return s
	}
	conn.unsubscribeLocked(shareDataID)
	if s != nil {
		conn.client.askLocked(s)
	}
	return nil
}

// applyLocked does what the tracker of a subscription decided.
func (conn *connection) applyLocked(s *Subscription, step step) {
	c := conn.client
	for _, it := range step.items {
		before := s.receivedLocked()
		if !s.pushLocked(it, step.removed) {
			c.log.Debug("paused a subscription whose consumer is late", "shareDataId", s.id)
			s.paused = true
			s.tracker.stop()
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
	case step.restart:
		c.log.Warn("subscribing again: the server did not send what it promised", "shareDataId", s.id)
		conn.unsubscribeLocked(s.id)
		c.askLocked(s)
	case step.fence:
		id := c.correlationID()
		conn.fences[id] = fence{subscription: s, round: s.round}
		conn.sendLocked((&wire.Ping{CorrelationID: id}).AppendTo(nil), nil)
	}
}

// answerLocked gives the answer to the call or the fence that waits for it.
func (conn *connection) answerLocked(id string, answer wire.ServerMessage, now time.Time) {
	c := conn.client
	if f, ok := conn.fences[id]; ok {
		delete(conn.fences, id)
		if f.subscription.round == f.round {
			conn.applyLocked(f.subscription, f.subscription.tracker.fenced())
		}
		return
	}
	_, isPong := answer.(*wire.Pong)
	answered := c.calls.find(id)
	if answered == nil || answered.ping != isPong {
		c.log.Debug("ignored an answer that nobody waits for", "correlationId", id)
		return
	}
	c.calls.remove(answered)
	conn.progressed = true
	answered.settle(outcome{answer: answer, at: now})
	c.pumpLocked()
}

// complainLocked does what an error frame asks for.
func (conn *connection) complainLocked(frame *wire.Error, now time.Time) {
	c := conn.client
	conn.report, conn.blamed = *frame, false
	complaint := conn.complaint()
	if failed := c.calls.find(frame.CorrelationID); failed != nil {
		conn.blamed = true
		c.calls.remove(failed)
		failed.settle(outcome{err: failed.refused(complaint), at: now})
		c.pumpLocked()
		return
	}
	c.log.Warn("the server complained", "code", frame.Code, "message", frame.Message, "shareDataId", frame.ShareDataID)
	switch frame.Code {
	case codes.ReplayCursorNotFound:
		conn.cursorNotFoundLocked(frame)
		return
	case codes.UnknownShareData, codes.UnauthorizedSubscribe, codes.TooManySubscriptions:
		if conn.refuseLocked(complaint) {
			return
		}
	case codes.Unavailable, codes.InternalError, codes.RateLimited:
		if conn.asking[frame.ShareDataID] != nil {
			conn.askLaterLocked(frame.ShareDataID, now)
		}
	case codes.InvalidMessage:
		return // The connection is about to be closed for it.
	}
	c.status.add(Status{State: Open, Err: complaint})
}

// refuseLocked ends the subscription that the server refuses. It reports
// whether it found it.
func (conn *connection) refuseLocked(complaint *ServerError) bool {
	if complaint.ShareDataID == "" {
		suspects := conn.suspectsLocked()
		i := blameSubscribe(conn.report, suspects)
		if i < 0 {
			return false
		}
		complaint.ShareDataID = suspects[i].shareDataID
	}
	conn.blamed = true
	if s := conn.answeredLocked(complaint.ShareDataID); s != nil {
		conn.client.endSubscriptionLocked(s.id, complaint)
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
		if s := c.subscriptions[frame.ShareDataID]; s != nil && conn.asking[s.id] == nil {
			conn.applyLocked(s, s.tracker.cursorNotFound(frame.Message))
		}
		return
	}
	longest := 0
	var concerned []*Subscription
	for _, s := range c.inOrderLocked() {
		if !s.tracker.undecided() {
			continue
		}
		quoted := 0
		if strings.Contains(frame.Message, s.tracker.since) {
			quoted = len(s.tracker.since)
		}
		switch {
		case quoted > longest:
			longest, concerned = quoted, []*Subscription{s}
		case quoted == longest:
			concerned = append(concerned, s)
		}
	}
	for _, s := range concerned {
		conn.applyLocked(s, s.tracker.cursorNotFound(frame.Message))
	}
}
