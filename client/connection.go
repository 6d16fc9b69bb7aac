package client

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// connection is one WebSocket. The runner owns it: it reads, and waits for the
// goroutine that writes and the one that sends heartbeats.
type connection struct {
	// Immutable.
	client   *Client
	ws       *websocket.Conn
	openedAt time.Time
	wake     chan struct{} // has room for one: there is something to write
	retry    *time.Timer   // it is time to repeat a subscribe

	// Guarded by the client's lock.
	outbox      []outgoing
	subscribing map[string]*ask // subscribes that are not answered
	asked       uint64          // how many subscribes were sent
	barriers    map[string]barrier
	report      wire.Error // the server's last serverError
	attributed  bool       // what the report is about will not be sent again
	received    bool
	progressed  bool
	cause       error // why the connection was given up on this side
}

// outgoing is a frame that waits to be written, with the call it belongs to,
// or nil.
type outgoing struct {
	frame []byte
	call  *call
}

// ask is a subscribe that the server has not answered, with a state or an
// error. Until then whatever comes for its ShareData belongs to a subscription
// before it, and nothing more is sent about that ShareData: a server need not
// answer a subscribe that another message has overtaken, so only one that is
// left alone can be told from the next by its answer.
type ask struct {
	subscription *Subscription
	number       uint64 // place in the order of all
	size         int    // of the frame, in bytes
}

// barrier is a ping that was sent behind a state, in that round.
type barrier struct {
	subscription *Subscription
	round        uint64
}

// open makes ws the client's connection and sends on it, in this order, the
// subscriptions, the calls in flight, and those that wait. It returns nil if
// the client has stopped.
func (c *Client) open(ws *websocket.Conn) *connection {
	conn := &connection{
		client:      c,
		ws:          ws,
		openedAt:    time.Now(),
		wake:        make(chan struct{}, 1),
		retry:       time.NewTimer(time.Hour),
		subscribing: make(map[string]*ask),
		barriers:    make(map[string]barrier),
	}
	conn.retry.Stop()
	c.rejected = false

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
	for _, sent := range c.calls.inFlight {
		conn.sendLocked(sent.frame, sent)
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
			c.rejected = true
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
		c.stopLocked(stopped(next.stop))
	default:
		c.log.Warn("reconnecting", "cause", cause, "attempt", attempt, "delay", next.delay)
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
	var helpers sync.WaitGroup
	helpers.Go(func() { conn.write(ctx) })
	if interval := conn.client.options.HeartbeatInterval; interval > 0 {
		helpers.Go(func() { conn.heartbeat(ctx, interval) })
	}
	err := conn.read(ctx)
	end := conn.detach(err)
	cancel()
	conn.ws.CloseNow()
	helpers.Wait()
	conn.retry.Stop()
	return end
}

// detach takes the connection from the client, fails whatever it was closed
// for, and returns how it ended.
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
	case conn.cause != nil:
		lost.Err = conn.cause
	case errors.As(err, &closed):
		lost = &DisconnectError{Code: int(closed.Code), Reason: closed.Reason}
	}
	end := connectionEnd{
		code:       lost.Code,
		err:        lost,
		received:   conn.received,
		progressed: conn.progressed,
		lived:      time.Since(conn.openedAt),
		attributed: conn.attributed,
	}
	if c.stopErr != nil {
		return end
	}
	if lost.Code == codes.CloseInvalidMessage && conn.report.Code != "" {
		end.err = conn.serverError()
	}
	if !conn.attributed {
		frames := conn.unansweredLocked()
		cause := attributeClose(lost.Code, conn.report, frames)
		end.attributed = cause != none
		switch {
		case cause == several:
			c.calls.probe()
		case cause >= 0:
			c.failCauseLocked(frames[cause], conn.report, lost)
		}
	}
	return end
}

// serverError is the server's last one, as an error.
func (conn *connection) serverError() *ServerError {
	return &ServerError{
		Code:        conn.report.Code,
		Message:     conn.report.Message,
		ShareDataID: conn.report.ShareDataID,
	}
}

// unansweredLocked returns what was sent on this connection and is not answered.
func (conn *connection) unansweredLocked() []sentFrame {
	var all []sentFrame
	for id, a := range conn.subscribing {
		all = append(all, sentFrame{shareDataID: id, size: a.size})
	}
	slices.SortFunc(all, func(a, b sentFrame) int {
		return cmp.Compare(conn.subscribing[a.shareDataID].number, conn.subscribing[b.shareDataID].number)
	})
	for _, sent := range conn.client.calls.inFlight {
		if sent.sentOn == conn {
			all = append(all, sentFrame{call: sent.id, shareDataID: sent.shareDataID, size: len(sent.frame)})
		}
	}
	return all
}

// failCauseLocked fails what the server complained about and will not have again.
func (c *Client) failCauseLocked(cause sentFrame, report wire.Error, lost *DisconnectError) {
	var err error = lost
	if report.Code != "" {
		err = &ServerError{Code: report.Code, Message: report.Message, ShareDataID: cause.shareDataID}
	}
	if cause.call != "" {
		if failed := c.calls.find(cause.call); failed != nil {
			c.calls.remove(failed)
			failed.complete(outcome{err: failed.refused(err)})
		}
		return
	}
	c.endSubscriptionLocked(cause.shareDataID, err)
}
