package client

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Client keeps one connection to a server, over which it subscribes and
// proposes. All methods may be called from any number of goroutines.
type Client struct {
	// Immutable.
	options Options
	url     *url.URL
	log     *slog.Logger
	ctx     context.Context // ends when the client stops
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned

	correlationIDs atomic.Uint64 // how many there have been

	// The goroutine that connects: first Dial, then run. While a connection is open,
	// the goroutine that renews its token.
	token    string  // of the connection or of the last attempt, from Options.Token
	rejected *string // see RejectedToken; nil: none

	// mu is the only lock. It guards the fields below, and the fields of
	// connections, subscriptions and calls that say so. Its holder never waits for
	// the network, a consumer or a callback.
	mu                sync.Mutex
	stopErr           error       // nil while alive
	conn              *connection // nil while there is none
	lostErr           error       // how the last connection or attempt ended; nil: none has
	lostAt            time.Time   // when
	status            statusLog
	subscriptions     map[string]*Subscription // the live ones
	subscriptionCount uint64                   // how many there have been
	calls             calls
}

// newClient returns a client without connection and goroutines.
func newClient(address string, options *Options) (*Client, error) {
	filled, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	parsed, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	c := &Client{
		options:       filled,
		url:           parsed,
		log:           filled.Logger,
		done:          make(chan struct{}),
		status:        newStatusLog(Status{State: Connecting, Attempt: 1}),
		subscriptions: make(map[string]*Subscription),
		calls:         calls{maxWaiting: filled.QueueSize, maxInFlight: filled.MaxInFlight},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// orderedSubscriptionsLocked returns the live subscriptions, the oldest first.
func (c *Client) orderedSubscriptionsLocked() []*Subscription {
	all := make([]*Subscription, 0, len(c.subscriptions))
	for _, s := range c.subscriptions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Subscription) int { return cmp.Compare(a.number, b.number) })
	return all
}

// correlationID returns an id that this client has not used before.
func (c *Client) correlationID() string {
	return "c-" + strconv.FormatUint(c.correlationIDs.Add(1), 10)
}

// stopLocked ends all calls and subscriptions with the cause, and reports whether
// the client was alive.
func (c *Client) stopLocked(cause error) bool {
	if c.stopErr != nil {
		return false
	}
	c.stopErr = fmt.Errorf("client: %w", cause)
	for _, open := range c.calls.all() {
		c.calls.complete(open, outcome{err: open.failure(cause)})
	}
	if c.conn != nil {
		c.conn.outbox = nil // The errors say "never sent".
	}
	for id := range c.subscriptions {
		c.endSubscriptionLocked(id, c.stopErr)
	}
	c.status.add(Status{State: Closed, Err: c.stopErr})
	return true
}
