package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// connection is a pub/sub connection to a server: all that is announced of the
// followed histories there comes by it. It subscribes, and does so again on a new
// connection when it breaks; then all its followers are notified with nil, because
// announcements were missed meanwhile.
//
// PubSub.Channel and PubSub.ChannelWithSubscriptions of go-redis do not fit: their
// health check only writes, so that a network that drops everything goes unnoticed;
// they drop messages for which there is no room, without an error; and they
// subscribe again with one command for all channels, which a cluster refuses for
// channels of several slots. So this uses PubSub.ReceiveTimeout.
type connection struct {
	following *following
	server    *server
	wake      chan struct{} // there is something to send
	retry     chan struct{} // the server is back

	// The rest is guarded by following.mu.

	subscriptions map[*subscription]struct{}
	toSubscribe   []*subscription
	toUnsubscribe []string // channels
	unconfirmed   int      // subscriptions that were sent
	worked        bool     // a subscription was confirmed
}

const (
	// maxSubscribe is how many channels are subscribed to before the server has
	// confirmed them.
	maxSubscribe = 1000
	// A connection that worked is replaced after the shorter time, another one after
	// the longer, and up to half as long again.
	reconnectAfter      = 50 * time.Millisecond
	reconnectAfterError = time.Second
)

var errUnused = errors.New("the connection is not used any more")

// subscribeLocked gives a history to the connection to a server.
func (f *following) subscribeLocked(t *subscription, server *server) {
	if len(t.follows) == 0 || t.conn != nil || f.closed {
		return
	}
	c := f.connections[server]
	if c == nil {
		c = &connection{
			following: f, server: server, wake: make(chan struct{}, 1), retry: make(chan struct{}, 1),
			subscriptions: make(map[*subscription]struct{}),
		}
		f.connections[server] = c
		f.store.start(c.run)
	}
	c.subscriptions[t] = struct{}{}
	c.toSubscribe = append(c.toSubscribe, t)
	t.conn = c
	wake(c.wake)
}

// unsubscribeLocked takes a history from its connection.
func (f *following) unsubscribeLocked(t *subscription) {
	c := t.conn
	if c == nil {
		return
	}
	if t.sent {
		c.toUnsubscribe = append(c.toUnsubscribe, t.channel)
		wake(c.wake)
	}
	delete(c.subscriptions, t)
	t.conn, t.sent, t.confirmed = nil, false, false
}

// run uses the connection until it breaks, and then has its histories assigned
// again. In a cluster, another server may have them.
func (c *connection) run(ctx context.Context) {
	err := c.serve(ctx)
	if ctx.Err() != nil {
		return
	}
	pause := reconnectAfterError
	if c.broke(err) {
		pause = reconnectAfter
	}
	select {
	case <-ctx.Done():
	case <-c.retry:
	case <-time.After(pause + rand.N(pause/2)):
	}
	f := c.following
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.connections, c.server)
	for t := range c.subscriptions {
		t.conn = nil
		f.unassignLocked(t)
	}
}

// broke notes that the connection is of no use any more, and reports whether it
// worked before.
func (c *connection) broke(err error) (worked bool) {
	f := c.following
	f.mu.Lock()
	worked = c.worked
	for t := range c.subscriptions {
		t.sent, t.confirmed = false, false
	}
	f.mu.Unlock()
	if kind, _ := classify(err); kind == kindRefused {
		c.server.setFit(false) // calls fail with the reason
		return worked
	}
	c.server.probe()
	f.store.servers.refresh()
	return worked
}

// serve connects, subscribes and receives until something goes wrong.
func (c *connection) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	pubsub := c.server.client.Subscribe(ctx)
	connecting, connected := c.following.store.withTimeout(ctx)
	err := pubsub.Ping(connecting)
	connected()
	var reader sync.WaitGroup
	if err == nil {
		failed := make(chan error, 1)
		reader.Go(func() { failed <- c.receive(ctx, pubsub) })
		err = c.send(ctx, pubsub, failed)
	}
	cancel()
	_ = pubsub.Close()
	reader.Wait()
	return err
}

// send subscribes and unsubscribes, and pings, until something goes wrong.
func (c *connection) send(ctx context.Context, pubsub *goredis.PubSub, failed <-chan error) error {
	var tick <-chan time.Time
	if silence := c.following.store.options.MaxSilence; silence > 0 {
		ticker := time.NewTicker(max(silence/3, time.Millisecond))
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if err := c.sendChanges(ctx, pubsub); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errUnused
		case err := <-failed:
			return err
		case <-tick:
			if err := pubsub.Ping(ctx); err != nil {
				return err
			}
		case <-c.wake:
		}
	}
}

// sendChanges sends the server what changed.
func (c *connection) sendChanges(ctx context.Context, pubsub *goredis.PubSub) error {
	unsubscribe, subscribe, atOnce := pubsub.Unsubscribe, pubsub.Subscribe, maxSubscribe
	if c.following.store.clustered {
		// A command takes channels of one slot only.
		unsubscribe, subscribe, atOnce = pubsub.SUnsubscribe, pubsub.SSubscribe, 1
	}
	remove, add := c.takeChanges()
	for _, step := range []struct {
		channels []string
		do       func(ctx context.Context, channels ...string) error
	}{{remove, unsubscribe}, {add, subscribe}} {
		for some := range slices.Chunk(step.channels, atOnce) {
			if err := step.do(ctx, some...); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeChanges returns which channels to unsubscribe from, and then which to
// subscribe to: none as long as the server has not confirmed those before.
func (c *connection) takeChanges() (remove, add []string) {
	c.following.mu.Lock()
	defer c.following.mu.Unlock()
	remove, c.toUnsubscribe = c.toUnsubscribe, nil
	if c.unconfirmed > 0 {
		return remove, nil
	}
	for len(c.toSubscribe) > 0 && len(add) < maxSubscribe {
		t := c.toSubscribe[0]
		c.toSubscribe = c.toSubscribe[1:]
		if t.conn == c && !t.sent {
			t.sent = true
			c.unconfirmed++
			add = append(add, t.channel)
		}
	}
	return remove, add
}

// receive reads what the server sends until something goes wrong.
func (c *connection) receive(ctx context.Context, pubsub *goredis.PubSub) error {
	for {
		message, err := pubsub.ReceiveTimeout(ctx, c.following.store.options.MaxSilence)
		if err != nil {
			return err
		}
		switch message := message.(type) {
		case *goredis.Message:
			c.announced(message.Channel, message.Payload)
		case *goredis.Subscription:
			switch message.Kind {
			case "subscribe", "ssubscribe":
				c.subscribed(message.Channel)
			case "unsubscribe", "sunsubscribe":
				c.unsubscribed(message.Channel)
			}
		}
	}
}

// announced notifies the followers of a history. A message that is not an
// announcement has them read the position.
func (c *connection) announced(channel, payload string) {
	a, err := parseAnnouncement(payload)
	f := c.following
	f.mu.Lock()
	t := f.subscriptions[channel]
	if t == nil || t.conn != c {
		f.mu.Unlock()
		return
	}
	switch {
	case err != nil:
		t.changes++
	case a.removed:
		t.learnLocked(version{})
	default:
		t.learnLocked(version{cursor: a.last, token: a.token})
	}
	follows := t.follows
	f.mu.Unlock()
	notify(follows, a.entries)
}

// subscribed notes that nothing is missed from now on.
func (c *connection) subscribed(channel string) {
	f := c.following
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.unconfirmed = max(c.unconfirmed-1, 0); c.unconfirmed == 0 {
		wake(c.wake)
	}
	if t := f.subscriptions[channel]; t != nil && t.conn == c && t.sent {
		c.worked, t.confirmed, t.known = true, true, false
		f.refreshLocked(t)
	}
}

// unsubscribed notes the end of a subscription. If the history is still followed,
// its slot has moved to another server, or it was followed again meanwhile.
func (c *connection) unsubscribed(channel string) {
	f := c.following
	f.mu.Lock()
	t := f.subscriptions[channel]
	ended := t != nil && t.conn == c && t.sent
	if ended {
		t.sent = false // there is nothing to unsubscribe from
		f.unsubscribeLocked(t)
		f.unassignLocked(t)
	}
	f.mu.Unlock()
	if ended {
		f.store.servers.refresh()
	}
}
