package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// cluster forwards publications to the other nodes over NATS, and commits theirs. What comes
// from NATS is not forwarded again, and a node's own does not come back to it. A publication
// keeps its key on the way, so that nodes which also share a store commit it once.
type cluster struct {
	conn     *nats.Conn
	prefix   string
	channels channels
	logger   *slog.Logger
	cancel   context.CancelFunc
	received chan struct{} // closed when receive has returned

	unforwarded atomic.Uint64
}

// reconnectWait is the time between attempts to reach NATS.
const reconnectWait = 500 * time.Millisecond

// joinCluster returns at once if NATS is away: the node is alone until it comes.
func joinCluster(url, prefix string, channels channels, logger *slog.Logger) (*cluster, error) {
	connected := func(conn *nats.Conn) {
		logger.Info("publications are forwarded", "nats", conn.ConnectedUrlRedacted())
	}
	conn, err := nats.Connect(url, nats.Name("turbine"), nats.NoEcho(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ConnectHandler(connected), nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { logger.Warn("NATS is away; the node is alone", "error", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger.Error("NATS has dropped publications of other nodes", "error", err)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", urlVariable, err)
	}
	if !conn.IsConnected() {
		logger.Warn("NATS is away; the node is alone")
	}
	others, err := conn.SubscribeSync(prefix + ".>")
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s %q: %w", prefixVariable, prefix, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{conn: conn, prefix: prefix, channels: channels, logger: logger, cancel: cancel, received: make(chan struct{})}
	go c.receive(ctx, others)
	return c, nil
}

// receive commits what other nodes forward.
func (c *cluster) receive(ctx context.Context, others *nats.Subscription) {
	defer close(c.received)
	for {
		message, err := others.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // the ErrorHandler has logged it
		case err != nil:
			return
		}
		p, why := decodePublication(message.Data)
		if p.Key = message.Header.Get(nats.MsgIdHdr); p.Key == "" && why == "" {
			why = "there is no " + nats.MsgIdHdr
		}
		if why == "" {
			if err = c.channels.publish(ctx, p); err == nil {
				continue
			}
			why = err.Error()
		}
		c.logger.Error("a publication of another node is lost here", "subject", message.Subject, "error", why)
	}
}

// forward sends a publication to the other nodes. While NATS is away for a moment, the
// connection keeps some megabytes. The cluster may be nil.
func (c *cluster) forward(p publication) {
	if c == nil {
		return
	}
	message := nats.NewMsg(c.prefix + "." + subjectOf(p.Channel))
	message.Header.Set(nats.MsgIdHdr, p.Key)
	message.Data = text(p)
	if err := c.conn.PublishMsg(message); err != nil {
		c.unforwarded.Add(1)
		c.logger.Error("a publication is not forwarded", "channel", p.Channel, "error", err)
	}
}

// subjectOf returns a channel as a token of a subject: letters, digits and what else is
// common in names of channels stay, other bytes are escaped as in URLs.
func subjectOf(channel string) string {
	var subject strings.Builder
	for _, b := range []byte(channel) {
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte(":-_/", b) >= 0 {
			subject.WriteByte(b)
		} else {
			fmt.Fprintf(&subject, "%%%02X", b)
		}
	}
	return subject.String()
}

// failures returns how many publications could not be forwarded. The cluster may be nil.
func (c *cluster) failures() uint64 {
	if c == nil {
		return 0
	}
	return c.unforwarded.Load()
}

// close forwards what is buffered, if NATS is there, and leaves.
func (c *cluster) close() error {
	c.cancel()
	<-c.received
	if c.conn.IsConnected() {
		c.conn.FlushTimeout(time.Second) // what fails is lost with the connection
	}
	c.conn.Close()
	return nil
}
