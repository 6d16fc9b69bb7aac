package client

import (
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// closeTimeout bounds the closing handshake (RFC 6455 section 7.1.2) with a
// server that does not answer it.
const closeTimeout = 5 * time.Second

// Close ends the client: calls and loops that wait end with ErrClosed, the
// connection is closed with code 1000, and everything that the client started
// has ended when Close returns, after five seconds at most. Closing twice is
// fine. It must not be called from Options.Token. The error is always nil.
func (c *Client) Close() error {
	c.mu.Lock()
	for _, s := range c.subscriptions {
		s.dropLocked()
	}
	first := c.stopLocked(fmt.Errorf("client: %w", ErrClosed))
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
