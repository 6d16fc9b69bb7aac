package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
)

// sendLocked hands a frame to the writer.
func (conn *connection) sendLocked(frame []byte, c *call) {
	if c != nil {
		c.sentOn = nil
	}
	conn.outbox = append(conn.outbox, outgoing{frame: frame, call: c})
	select {
	case conn.wake <- struct{}{}:
	default:
	}
}

// subscribeLocked begins a round after what the subscription has received. It does
// nothing without a connection, and while a subscribe to the ShareData is open: the
// next connection, or the answer to the open one, calls it again.
func (c *Client) subscribeLocked(s *Subscription) {
	conn := c.conn
	if conn == nil || conn.subscribes[s.id] != nil {
		return
	}
	s.round++
	s.subscribeAt = time.Time{}
	patches := s.keepsStateLocked()
	s.catchUp.asked = features{patches: patches, conflate: s.conflate, activity: s.activity}
	from := s.receivedLocked()
	since := s.catchUp.begin(from)
	frame := (&wire.Subscribe{
		ShareDataID:     s.id,
		Since:           since,
		ReplayLifecycle: since != "",
		KeepConnection:  true,
		Patches:         patches,
		IncludeState:    patches && since != "" && from.state == nil,
		Activity:        s.activity,
		Conflate:        s.conflate,
	}).AppendTo(nil)
	conn.subscribed++
	conn.subscribes[s.id] = &subscribeRequest{subscription: s, number: conn.subscribed, size: len(frame)}
	conn.sendLocked(frame, nil)
}

// unsubscribeLocked unsubscribes. While a subscribe is open it does nothing:
// subscribeAnsweredLocked calls it again.
func (conn *connection) unsubscribeLocked(shareDataID string) {
	if conn.subscribes[shareDataID] == nil {
		conn.sendLocked((&wire.Unsubscribe{ShareDataID: shareDataID}).AppendTo(nil), nil)
	}
}

// delaySubscribeLocked repeats, after a backoff, a subscribe that the server cannot
// serve now: not before the time that the server asks for.
func (conn *connection) delaySubscribeLocked(shareDataID string, now time.Time, atLeast time.Duration) {
	s := conn.subscribeAnsweredLocked(shareDataID)
	if s == nil {
		return
	}
	s.catchUp.stop()
	if s.subscribeBackoff == nil {
		b := conn.client.options.Backoff
		b.Initial = max(b.Initial, time.Second)
		b.Max = max(b.Max, b.Initial)
		s.subscribeBackoff = newBackoff(b)
	}
	s.subscribeAt = now.Add(max(s.subscribeBackoff.NextBackOff(), atLeast))
	conn.sendDueLocked(now)
}

// sendDueLocked repeats the delayed subscribes that are due, and the ping that asks
// when the token expires, and sets the timer for the next one.
func (conn *connection) sendDueLocked(now time.Time) {
	next := conn.expiryPingAt
	if !next.IsZero() && !next.After(now) {
		conn.askExpiryLocked()
		next = time.Time{}
	}
	for _, s := range conn.client.orderedSubscriptionsLocked() {
		switch {
		case s.subscribeAt.IsZero():
		case !s.subscribeAt.After(now):
			conn.client.subscribeLocked(s)
		case next.IsZero() || s.subscribeAt.Before(next):
			next = s.subscribeAt
		}
	}
	if !next.IsZero() {
		conn.retry.Reset(next.Sub(now))
	}
}

// sendWaitingLocked sends the calls that wait, as far as MaxInFlight allows.
func (c *Client) sendWaitingLocked() {
	if c.conn == nil {
		return
	}
	for next := c.calls.next(); next != nil; next = c.calls.next() {
		c.conn.sendLocked(next.frame, next)
	}
}

// graceAfterWriteError is how long the reader has, after a write failed, to read
// the server's close frame, which says why.
const graceAfterWriteError = time.Second

// write is the only place that writes messages. It ends with the context.
func (conn *connection) write(ctx context.Context) {
	c := conn.client
	for {
		c.mu.Lock()
		frame := conn.nextFrameLocked()
		c.mu.Unlock()
		if frame == nil {
			select {
			case <-conn.wake:
			case <-conn.retry.C:
				c.mu.Lock()
				if c.conn == conn {
					conn.sendDueLocked(time.Now())
				}
				c.mu.Unlock()
			case <-ctx.Done():
				return
			}
			continue
		}
		if err := conn.ws.Write(ctx, websocket.MessageText, frame); err != nil {
			select {
			case <-time.After(graceAfterWriteError):
				conn.giveUp(fmt.Errorf("write: %w", err))
			case <-ctx.Done():
			}
			return
		}
	}
}

// nextFrameLocked takes the frame to write next from the outbox; nil if it is empty.
func (conn *connection) nextFrameLocked() []byte {
	if len(conn.outbox) == 0 {
		conn.outbox = nil
		return nil
	}
	next := conn.outbox[0]
	conn.outbox[0] = outgoing{}
	conn.outbox = conn.outbox[1:]
	if next.call != nil {
		next.call.sentOn, next.call.sentAt = conn, time.Now()
	}
	return next.frame
}

// removeLocked takes the frame of a call that has its outcome out of the outbox. The
// calls that wait there are therefore bounded, also while nothing can be written.
func (conn *connection) removeLocked(c *call) {
	conn.outbox = slices.DeleteFunc(conn.outbox, func(o outgoing) bool { return o.call == c })
}

// heartbeat gives the connection up when a WebSocket ping is not answered within
// one interval. Without it, a connection whose other end has vanished looks idle
// for ever.
func (conn *connection) heartbeat(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if conn.ping(ctx, interval) {
			continue
		}
		if ctx.Err() == nil {
			conn.giveUp(fmt.Errorf("no answer to a ping within %v", interval))
		}
		return
	}
}

// ping reports whether the server answers a ping within the interval. While a long
// message is being written, the library's own attempt to write a ping times out;
// it is then repeated.
func (conn *connection) ping(ctx context.Context, interval time.Duration) bool {
	deadline, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	for {
		err := conn.ws.Ping(deadline)
		if err == nil || deadline.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err == nil
		}
	}
}

// giveUp ends the connection on this side, for the reason. The reader notices.
func (conn *connection) giveUp(reason error) {
	c := conn.client
	c.mu.Lock()
	if conn.giveUpReason == nil {
		conn.giveUpReason = reason
	}
	c.mu.Unlock()
	conn.ws.CloseNow()
}
