package client

import (
	"time"

	"github.com/coder/websocket"
)

// closeTimeout bounds the closing handshake (RFC 6455 section 7.1.2) with a
// server that does not answer it.
const closeTimeout = 5 * time.Second

// Close ends the client: waiting calls fail and loops over events end with
// ErrClosed, and the connection is closed with code 1000. Close returns when all
// goroutines of the client have ended, which takes five seconds at most. Closing
// twice is fine. Options.Token must not call it. The error is always nil.
func (c *Client) Close() error {
	c.mu.Lock()
	for _, s := range c.subscriptions {
		s.dropLocked()
	}
	first := c.stopLocked(ErrClosed)
	conn := c.conn
	c.mu.Unlock()
	if first {
		if conn != nil {
			bound := time.AfterFunc(closeTimeout, c.cancel)
			conn.ws.Close(websocket.StatusNormalClosure, "")
			bound.Stop()
		}
		c.cancel()
	}
	<-c.done
	return nil
}
