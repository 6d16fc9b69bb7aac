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
	outbox     []outgoing
	asking     map[string]*ask // subscribes that are not answered
	asked      uint64          // how many subscribes were sent
	fences     map[string]fence
	report     wire.Error // the server's last complaint
	blamed     bool       // what the report is about will not be sent again
	heard      bool
	progressed bool
	cause      error // why the connection was given up on this side
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

// fence is a ping that was sent behind a state, in that round.
type fence struct {
	subscription *Subscription
	round        uint64
}

// open makes ws the client's connection and sends on it, in this order, the
// subscriptions, the calls in flight, and those that wait. It returns nil if
// the client has stopped.
func (c *Client) open(ws *websocket.Conn) *connection {
	conn := &connection{
		client:   c,
		ws:       ws,
		openedAt: time.Now(),
		wake:     make(chan struct{}, 1),
		retry:    time.NewTimer(time.Hour),
		asking:   make(map[string]*ask),
		fences:   make(map[string]fence),
	}
	conn.retry.Stop()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopErr != nil {
		ws.CloseNow()
		return nil
	}
	c.conn = conn
	c.status.add(Status{State: Open})
	c.log.Info("connected", "host", c.url.Host)
	for _, s := range c.inOrderLocked() {
		if !s.paused {
			c.askLocked(s)
		}
	}
	for _, sent := range c.calls.inFlight {
		conn.sendLocked(sent.frame, sent)
	}
	c.pumpLocked()
	return conn
}

// run owns the connections of the client, one after the other, until it stops.
func (c *Client) run(conn *connection) {
	defer close(c.done)
	defer c.cancel()
	reconnector := newReconnector(c.options.Backoff, c.options.Token != nil)
	for attempt := 1; ; attempt++ {
		var end ending
		if conn == nil {
			ws, err := c.connect(c.ctx)
			if err != nil {
				end = endOfAttempt(err)
			} else if conn = c.open(ws); conn == nil {
				return
			}
		}
		if conn != nil {
			end = conn.serve(c.ctx)
			conn, attempt = nil, 0
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

func endOfAttempt(err error) ending {
	end := ending{err: err}
	var refused *ConnectError
	if errors.As(err, &refused) {
		end.status = refused.Status
	}
	return end
}

// serve runs the connection until it ends.
func (conn *connection) serve(ctx context.Context) ending {
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
func (conn *connection) detach(err error) ending {
	c := conn.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	for _, s := range c.subscriptions {
		s.askAgainAt = time.Time{}
	}

	var closed websocket.CloseError
	lost := &DisconnectError{Err: err}
	switch {
	case conn.cause != nil:
		lost.Err = conn.cause
	case errors.As(err, &closed):
		lost = &DisconnectError{Code: int(closed.Code), Reason: closed.Reason}
	}
	end := ending{
		code:       lost.Code,
		err:        lost,
		heard:      conn.heard,
		progressed: conn.progressed,
		lived:      time.Since(conn.openedAt),
		blamed:     conn.blamed,
	}
	if c.stopErr != nil {
		return end
	}
	if lost.Code == codes.CloseInvalidMessage && conn.report.Code != "" {
		end.err = conn.complaint()
	}
	if !conn.blamed {
		suspects := conn.suspectsLocked()
		guilty := blameClose(lost.Code, conn.report, suspects)
		end.blamed = guilty != nobody
		switch {
		case guilty == several:
			c.calls.doubt()
		case guilty >= 0:
			c.convictLocked(suspects[guilty], conn.report, lost)
		}
	}
	return end
}

// complaint is the server's last one, as an error.
func (conn *connection) complaint() *ServerError {
	return &ServerError{
		Code:        conn.report.Code,
		Message:     conn.report.Message,
		ShareDataID: conn.report.ShareDataID,
	}
}

// suspectsLocked returns what was sent on this connection and is not answered.
func (conn *connection) suspectsLocked() []suspect {
	var all []suspect
	for id, a := range conn.asking {
		all = append(all, suspect{shareDataID: id, size: a.size})
	}
	slices.SortFunc(all, func(a, b suspect) int {
		return cmp.Compare(conn.asking[a.shareDataID].number, conn.asking[b.shareDataID].number)
	})
	for _, sent := range conn.client.calls.inFlight {
		if sent.sentOn == conn {
			all = append(all, suspect{call: sent.id, shareDataID: sent.shareDataID, size: len(sent.frame)})
		}
	}
	return all
}

// convictLocked fails what the server complained about and will not have again.
func (c *Client) convictLocked(guilty suspect, report wire.Error, lost *DisconnectError) {
	var err error = lost
	if report.Code != "" {
		err = &ServerError{Code: report.Code, Message: report.Message, ShareDataID: guilty.shareDataID}
	}
	if guilty.call != "" {
		if failed := c.calls.find(guilty.call); failed != nil {
			c.calls.remove(failed)
			failed.settle(outcome{err: failed.refused(err)})
		}
		return
	}
	c.endSubscriptionLocked(guilty.shareDataID, err)
}
