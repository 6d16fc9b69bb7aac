package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// cluster forwards publications to the other nodes over NATS, and publishes theirs here. What
// comes from NATS is not forwarded again, and a node's own does not come back to it. A
// publication keeps its key on the way, so that nodes that also share a store commit it once.
type cluster struct {
	node   *node
	conn   *nats.Conn
	closed chan struct{} // closed when the connection is
}

// joinCluster returns at once if NATS is away: the node is alone until it comes.
func joinCluster(n *node) (*cluster, error) {
	c := &cluster{node: n, closed: make(chan struct{})}
	connected := func(conn *nats.Conn) {
		n.logger.Info("publications are forwarded", "nats", conn.ConnectedUrlRedacted())
	}
	disconnected := func(_ *nats.Conn, err error) { n.logger.Warn("no connection to NATS; the node is alone", "error", err) }
	lost := func(_ *nats.Conn, _ *nats.Subscription, err error) {
		n.logger.Error("publications of other nodes may be lost here", "error", err)
	}
	var err error
	c.conn, err = nats.Connect(n.config.natsURL, nats.Name("turbine"), nats.NoEcho(), nats.DrainTimeout(time.Second),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond),
		nats.ConnectHandler(connected), nats.ReconnectHandler(connected), nats.DisconnectErrHandler(disconnected),
		nats.ErrorHandler(lost), nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", urlVariable, err)
	}
	if !c.conn.IsConnected() {
		disconnected(c.conn, nats.ErrNoServers)
	}
	if _, err := c.conn.Subscribe(n.config.natsPrefix+".>", c.receive); err != nil {
		c.close()
		return nil, fmt.Errorf("%s %q: %w", prefixVariable, n.config.natsPrefix, err)
	}
	return c, nil
}

// receive publishes what another node forwards.
func (c *cluster) receive(message *nats.Msg) {
	p, err := decodePublication(message.Data)
	p.Key = message.Header.Get(nats.MsgIdHdr)
	if err == nil && p.Key == "" {
		err = errors.New("there is no " + nats.MsgIdHdr)
	}
	if err == nil {
		err = c.node.publish(context.Background(), p)
	}
	if err != nil {
		c.node.logger.Error("a publication of another node is lost here", "subject", message.Subject, "error", err)
	}
}

// forward sends the body of a publication to the other nodes. After NATS was reached once,
// the connection keeps 8 MiB while NATS is away; before, it takes no message with a header.
// The cluster may be nil.
func (c *cluster) forward(p publication, body []byte) {
	if c == nil {
		return
	}
	// The channel is one token of the subject: a dot would separate two.
	message := nats.NewMsg(c.node.config.natsPrefix + "." + strings.ReplaceAll(url.PathEscape(p.Channel), ".", "%2E"))
	message.Header.Set(nats.MsgIdHdr, p.Key)
	message.Data = body
	connected := c.conn.IsConnected()
	if err := c.conn.PublishMsg(message); err != nil {
		c.node.unforwarded.Add(1)
		if connected { // otherwise the log says already that the node is alone
			c.node.logger.Error("a publication is not forwarded", "channel", p.Channel, "error", err)
		}
	}
}

// close publishes what was received, forwards what is buffered if NATS is there, and leaves.
func (c *cluster) close() {
	c.conn.Drain() // fails where NATS is away, and closes the connection all the same
	<-c.closed
}
