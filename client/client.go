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
	"unicode/utf8"
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
	done    chan struct{} // closed when the runner has ended

	correlationIDs atomic.Uint64 // how many correlation ids there have been

	// The goroutine that connects: first Dial, then run.
	lastToken string // from Options.Token
	rejected  bool   // the server rejected lastToken

	// mu is the only lock. It guards what follows, and the fields of
	// connections, subscriptions and calls that say so. Nobody who holds it
	// waits for the network, a consumer or a callback.
	mu            sync.Mutex
	stopErr       error       // nil while alive
	conn          *connection // nil while there is none
	status        statusLog
	subscriptions map[string]*Subscription
	subscribed    uint64 // how many subscriptions there have been
	calls         calls
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

// Subscribe subscribes to the ShareData. It does not wait: a refusal is the error
// that Events ends with. A subscription whose events are not consumed costs at
// most Options.EventBufferBytes.
//
// A client has at most one live subscription per ShareData. A second one, made
// before the first was closed, removed or refused, fails with ErrAlreadySubscribed
// and leaves the first as it is. Parts of a program that follow the same ShareData
// share one loop over its events, or use a Client each. Close a subscription that
// is no longer needed: leaving the loop over Events does not end it.
func (c *Client) Subscribe(shareDataID string) *Subscription {
	return c.SubscribeFrom(shareDataID, "")
}

// SubscribeFrom is Subscribe, except that a new subscription continues after
// the cursor, which an earlier one returned from Subscription.Cursor, maybe in
// another process. Its first event is then a State that is Resumed, or a Gap.
// An empty cursor is none.
func (c *Client) SubscribeFrom(shareDataID, cursor string) *Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribed++
	s := newSubscription(c, shareDataID, position{known: cursor != "", cursor: cursor}, c.subscribed)
	switch {
	case c.stopErr != nil:
		s.endLocked(c.stopErr)
		return s
	case shareDataID == "" || !utf8.ValidString(shareDataID) || !utf8.ValidString(cursor):
		s.endLocked(fmt.Errorf("client: %w: a ShareData id is UTF-8 text and not empty", ErrInvalid))
		return s
	case c.subscriptions[shareDataID] != nil:
		s.endLocked(fmt.Errorf("client: %w, %.60q: range over the live subscription, or close it first", ErrAlreadySubscribed, shareDataID))
		return s
	}
	c.subscriptions[shareDataID] = s
	c.subscribeLocked(s)
	return s
}

// orderedSubscriptionsLocked returns the subscriptions, the oldest first.
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

// stopLocked ends everything that waits for the server, with the error, and
// reports whether the client was alive.
func (c *Client) stopLocked(err error) bool {
	if c.stopErr != nil {
		return false
	}
	c.stopErr = err
	for _, waiting := range c.calls.drain() {
		waiting.complete(outcome{err: err})
	}
	for id, s := range c.subscriptions {
		delete(c.subscriptions, id)
		s.endLocked(err)
	}
	c.status.add(Status{State: Closed, Err: err})
	return true
}
