package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// connection is one WebSocket. The goroutine in Client.run owns it: it reads, and
// waits for the goroutine that writes, the one that sends heartbeats and, where the
// token expires, the one that renews it.
type connection struct {
	// Immutable.
	client   *Client
	ctx      context.Context // ends with the connection; set by serve
	ws       *websocket.Conn
	openedAt time.Time
	wake     chan struct{} // has room for one: outbox is not empty
	retry    *time.Timer   // fires when a subscribe or the expiryPing is to be repeated

	helpers sync.WaitGroup // the other goroutines of the connection

	// Guarded by the client's lock.
	outbox     []outgoing
	subscribes map[string]*subscribeRequest // unanswered ones, by ShareData id
	subscribed uint64                       // how many subscribes were sent
	barriers   map[string]barrier           // by correlation id
	// expiryPing is the correlation id of the ping that asks when the token expires,
	// until it is answered; expiryPingAt is when to repeat it, zero: never.
	expiryPing     string
	expiryPingAt   time.Time
	authentication *authentication // nil: none is unanswered
	lastError      wire.Error      // the last error frame
	attributed     bool            // its cause is known and is not sent again
	received       bool
	progressed     bool
	giveUpReason   error // why the connection was ended on this side
}

// outgoing is a frame that waits to be written, and its call; nil for other frames.
type outgoing struct {
	frame []byte
	call  *call
}

// subscribeRequest is a subscribe that the server has not answered with a state or
// an error. Until it does, every other frame of the ShareData belongs to an earlier
// subscription, and nothing more is sent about the ShareData: a server need not
// answer a subscribe that a later message has made void, so an answer can only be
// attributed while there is one open request.
type subscribeRequest struct {
	subscription *Subscription
	number       uint64 // order of sending
	size         int    // of the frame, in bytes
	// outdated: the subscription must not go on from where this subscribe continues.
	outdated bool
}

// barrier is a ping that was sent behind a state, in that round.
type barrier struct {
	subscription *Subscription
	round        uint64
}

// open makes ws the client's connection and sends on it, in this order, the
// subscribes, the ping that asks when the token expires, the calls in flight, and
// those that wait. It returns nil if the client has stopped.
func (c *Client) open(ws *websocket.Conn) *connection {
	conn := &connection{
		client:     c,
		ws:         ws,
		openedAt:   time.Now(),
		wake:       make(chan struct{}, 1),
		retry:      time.NewTimer(time.Hour),
		subscribes: make(map[string]*subscribeRequest),
		barriers:   make(map[string]barrier),
	}
	conn.retry.Stop()
	c.rejected = nil

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopErr != nil {
		ws.CloseNow()
		return nil
	}
	c.conn = conn
	c.status.add(Status{State: Open})
	c.log.Info("connected", "host", c.url.Host)
	for _, s := range c.orderedSubscriptionsLocked() {
		if !s.paused {
			c.subscribeLocked(s)
		}
	}
	if c.options.Token != nil {
		conn.askExpiryLocked()
	}
	for _, unanswered := range c.calls.inFlight {
		conn.sendLocked(unanswered.frame, unanswered)
	}
	c.sendWaitingLocked()
	return conn
}

// run owns the connections of the client, one after the other, until it stops.
func (c *Client) run(conn *connection) {
	defer close(c.done)
	defer c.cancel()
	reconnector := newReconnector(c.options.Backoff, c.options.Token != nil)
	for attempt := 1; ; attempt++ {
		var end connectionEnd
		if conn == nil {
			ws, err := c.connect(c.ctx)
			if err != nil {
				end = attemptEnd(err)
			} else if conn = c.open(ws); conn == nil {
				return
			}
		}
		if conn != nil {
			end = conn.serve(c.ctx)
			conn, attempt = nil, 0
		}
		if end.unauthorized() {
			rejected := c.token
			c.rejected = &rejected
		}
		next := reconnector.next(end)
		if c.ctx.Err() != nil || !c.wait(attempt+1, end.err, next) {
			return
		}
	}
}

// wait waits until the next attempt to connect. It returns false if the client
// stops.
func (c *Client) wait(attempt int, cause error, next decision) bool {
	c.mu.Lock()
	switch {
	case c.stopErr != nil:
	case next.stop != nil:
		c.log.Error("stopped for good", "cause", cause)
		c.stopLocked(fmt.Errorf("%w: %w", ErrClosed, next.stop))
	default:
		c.log.Warn("reconnecting", "cause", cause, "attempt", attempt, "delay", next.delay)
		c.lostErr, c.lostAt = cause, time.Now()
		c.status.add(Status{State: Reconnecting, Attempt: attempt, Delay: next.delay, Err: cause})
	}
	alive := c.stopErr == nil
	c.mu.Unlock()
	if !alive {
		return false
	}
	timer := time.NewTimer(next.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func attemptEnd(err error) connectionEnd {
	end := connectionEnd{err: err}
	var refused *ConnectError
	if errors.As(err, &refused) {
		end.status = refused.Status
	}
	return end
}

// serve runs the connection until it ends.
func (conn *connection) serve(ctx context.Context) connectionEnd {
	ctx, cancel := context.WithCancel(ctx)
	conn.ctx = ctx
	conn.helpers.Go(func() { conn.write(ctx) })
	if interval := conn.client.options.HeartbeatInterval; interval > 0 {
		conn.helpers.Go(func() { conn.heartbeat(ctx, interval) })
	}
	err := conn.read(ctx)
	end := conn.detach(err)
	cancel()
	conn.ws.CloseNow()
	conn.helpers.Wait()
	conn.retry.Stop()
	return end
}

// detach takes the connection from the client, fails the frame for which the server
// closed it, and returns how it ended.
func (conn *connection) detach(err error) connectionEnd {
	c := conn.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	for _, s := range c.subscriptions {
		s.subscribeAt = time.Time{}
	}

	var closed websocket.CloseError
	lost := &DisconnectError{Err: err}
	switch {
	case conn.giveUpReason != nil:
		lost.Err = conn.giveUpReason
	case errors.As(err, &closed):
		lost = &DisconnectError{Code: int(closed.Code), Reason: closed.Reason}
	}
	end := connectionEnd{
		code:       lost.Code,
		err:        lost,
		received:   conn.received,
		progressed: conn.progressed,
		lived:      time.Since(conn.openedAt),
	}
	if c.stopErr != nil {
		return end
	}
	var report wire.Error // the error frame that explains the close, if there is one
	if lost.Code != 0 && closeCodeAfter(conn.lastError.Code) == lost.Code {
		report, end.attributed = conn.lastError, conn.attributed
	}
	if report.Code == codes.InvalidMessage {
		end.err = serverError(report)
	}
	if !end.attributed {
		end.attributed = conn.attributeCloseLocked(lost, report)
	}
	for _, unanswered := range c.calls.inFlight {
		if unanswered.sentOn == conn {
			unanswered.ambiguous, unanswered.sentOn = true, nil
		}
	}
	return end
}

// attributeCloseLocked fails the frame for which the server closed the connection,
// after the report.
// If it may be one of several proposals, they are sent one at a time from now on.
// It reports whether there is such a frame.
func (conn *connection) attributeCloseLocked(lost *DisconnectError, report wire.Error) bool {
	c := conn.client
	frames := conn.unansweredLocked()
	cause := attributeClose(lost.Code, report, frames)
	switch cause {
	case none:
		return false
	case several:
		for _, unanswered := range c.calls.inFlight {
			if unanswered.sentOn == conn {
				unanswered.sentWithInvalid, unanswered.sentOn = true, nil
			}
		}
		c.calls.probe()
		return true
	}
	refused := frames[cause]
	var err error = lost
	if report.Code != "" {
		err = &ServerError{Code: report.Code, Message: report.Message, ShareDataID: refused.shareDataID}
	}
	if refused.correlationID == "" {
		c.endSubscriptionLocked(refused.shareDataID, err)
		return true
	}
	failed := c.calls.find(refused.correlationID, conn)
	if failed == nil {
		return true // The authenticate. Reconnecting brings the token, too.
	}
	if failed.fields == nil {
		c.calls.complete(failed, outcome{err: err})
		return true
	}
	reply := &wire.ProposalResult{Code: codes.InvalidMessage, Error: report.Message}
	if lost.Code == closeMessageTooBig {
		reply.Code = CodeMessageTooBig
	}
	if reply.Error == "" {
		reply.Error = lost.Error()
	}
	named := report.CorrelationID == refused.correlationID
	// Without a name in the error frame it may have been another frame, and the
	// proposal may have taken effect before.
	failed.ambiguous = failed.ambiguous || !named && len(frames) > 1 && lost.Code != closeMessageTooBig
	c.calls.refuse(failed, reply)
	return true
}

// serverError returns an error frame as an error.
func serverError(frame wire.Error) *ServerError {
	return &ServerError{
		Code: frame.Code, Message: frame.Message, ShareDataID: frame.ShareDataID,
		RetryAfter: retryAfter(frame.RetryAfterMs),
	}
}

// unansweredLocked returns what was sent on this connection and is not answered.
func (conn *connection) unansweredLocked() []sentFrame {
	var all []sentFrame
	for id, request := range conn.subscribes {
		all = append(all, sentFrame{shareDataID: id, size: request.size})
	}
	slices.SortFunc(all, func(a, b sentFrame) int {
		return cmp.Compare(conn.subscribes[a.shareDataID].number, conn.subscribes[b.shareDataID].number)
	})
	for _, unanswered := range conn.client.calls.inFlight {
		if unanswered.sentOn != conn {
			continue
		}
		frame := sentFrame{correlationID: unanswered.id, size: len(unanswered.frame)}
		if unanswered.fields != nil {
			frame.shareDataID = unanswered.fields.ShareDataID
		}
		all = append(all, frame)
	}
	if sent := conn.authentication; sent != nil {
		all = append(all, sentFrame{correlationID: sent.id, size: sent.size})
	}
	return all
}
