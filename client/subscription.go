package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/internal/jsonpatch"
)

// Subscription delivers the events of one ShareData, in order, each once. Its
// methods may be called from any number of goroutines, but only one loop at a
// time may range over Events.
type Subscription struct {
	// Immutable.
	client *Client
	id     string
	number uint64        // order of subscriptions
	ready  chan struct{} // has room for one: what firstEvent returns has changed
	// What to ask the server for; see SubscribeOptions.
	conflate, activity bool

	// Guarded by the client's lock.
	catchUp catchUp
	round   uint64 // how many rounds there have been; see catchUp
	// buffer holds what the consumer has not taken, oldest first; buffered is its
	// size in bytes; delivered is the position after what the consumer has taken.
	buffer    []item
	buffered  int
	delivered position
	consumed  bool // a loop ranges over Events
	// headMoved is closed when catchUp.head has moved; nil while nobody waits for that.
	headMoved chan struct{}
	// wholeStates: go on without patches.
	wholeStates bool
	// paused: the buffer was full; subscribe again when it is empty.
	paused bool
	// ended: no more events come; err is why, nil after a removal.
	ended bool
	err   error
	// subscribeAt is when to repeat a subscribe that the server could not serve;
	// zero: never. subscribeBackoff spaces such attempts.
	subscribeAt      time.Time
	subscribeBackoff *backoff.ExponentialBackOff
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

// SubscribeFrom is Subscribe, except that the events continue after the cursor,
// which an earlier subscription returned from Subscription.Cursor, maybe in
// another process. The first event is then a State that is Resumed, or a Gap. An
// empty cursor is none. SubscribeWith can be given the state at the cursor, too, so
// that it is not transferred.
func (c *Client) SubscribeFrom(shareDataID, cursor string) *Subscription {
	return c.SubscribeWith(shareDataID, SubscribeOptions{Cursor: cursor})
}

// SubscribeOptions configures a Subscription. The zero value is that of Subscribe.
type SubscribeOptions struct {
	// Cursor is where to continue; empty for nowhere. See SubscribeFrom.
	Cursor string
	// State is the state at Cursor, as Subscription.Position returned both; nil where it
	// is not at hand. With it, a server that sends patches does not send the state. One
	// that is not the state at Cursor shows by a hash, at the latest after the replayed
	// events: a Gap and the whole state follow. Without a Cursor it is an error. It must
	// not be changed afterwards.
	State json.RawMessage
	// Conflate asks the server to leave out events that the connection is too slow for,
	// instead of closing it: then comes a State that says how many it Skipped. Only
	// some servers can. It does not change what happens where the consumer is slow:
	// see Options.EventBuffer. Default: false.
	Conflate bool
	// Activity asks for the Activity of events. A server that does not let the caller
	// see it refuses the subscription with ErrUnauthorized. Default: false.
	Activity bool
}

// SubscribeWith is Subscribe with options.
func (c *Client) SubscribeWith(shareDataID string, options SubscribeOptions) *Subscription {
	from, err := options.position(shareDataID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptionCount++
	s := &Subscription{
		client:    c,
		id:        shareDataID,
		number:    c.subscriptionCount,
		ready:     make(chan struct{}, 1),
		conflate:  options.Conflate,
		activity:  options.Activity,
		catchUp:   catchUp{shareDataID: shareDataID},
		delivered: from,
	}
	s.boundStateLocked(len(options.State))
	switch {
	case c.stopErr != nil:
		s.endLocked(c.stopErr)
	case err != nil:
		s.endLocked(fmt.Errorf("client: %w: %w", ErrInvalid, err))
	case c.subscriptions[shareDataID] != nil:
		s.endLocked(fmt.Errorf("client: %w, %.60q: range over the live subscription, or close it first", ErrAlreadySubscribed, shareDataID))
	default:
		c.subscriptions[shareDataID] = s
		c.subscribeLocked(s)
	}
	return s
}

// position returns where a subscription begins, or what is wrong with the options.
func (o *SubscribeOptions) position(shareDataID string) (position, error) {
	from := position{known: o.Cursor != "", cursor: o.Cursor}
	switch {
	case shareDataID == "" || !utf8.ValidString(shareDataID) || !utf8.ValidString(o.Cursor):
		return from, errors.New("a ShareData id is UTF-8 text and not empty")
	case o.State == nil:
	case o.Cursor == "":
		return from, errors.New("SubscribeOptions.State is set without Cursor; set both, as Position returned them")
	case !json.Valid(o.State):
		return from, errors.New("SubscribeOptions.State is not JSON; set it to what Position returned")
	default:
		from.state = wholeState(jsonpatch.Canonical(o.State), "")
	}
	return from, nil
}

// ShareDataID returns the id of the ShareData.
func (s *Subscription) ShareDataID() string { return s.id }

// Cursor returns the position after the last event that was handed to a loop
// over Events; the loop's body sees the one after its own event. SubscribeFrom
// continues from it. It is empty where there is nothing to continue from:
// before the first State, and between a Gap and its State.
func (s *Subscription) Cursor() string {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.delivered.cursor
}

// Position returns Cursor and the state there, with which SubscribeOptions continues from
// it. The state is nil where it is not kept, as with Options.KeptStateBytes -1, and
// where it is not known.
func (s *Subscription) Position() (cursor string, state json.RawMessage) {
	s.client.mu.Lock()
	at := s.delivered
	s.client.mu.Unlock()
	if at.state != nil {
		state, _ = at.state.resolve() // One that must not be used is not known.
	}
	return at.cursor, state
}

// Events yields the events as they come. It ends without an error after the
// Lifecycle event that says Removed, and otherwise with exactly one:
//
//   - the context's error;
//   - ErrClosed after Close, of the subscription or of the client, at once;
//   - a *ServerError where the server refuses the subscription, and ErrClosed
//     with the cause where the client stopped for good, both after the events
//     that were received before;
//   - ErrAlreadySubscribed where the client had a live subscription to the
//     ShareData already;
//   - ErrConsumed where another loop ranges over this subscription.
//
// A loop that is left loses nothing: a later one continues after the event at
// which it was left.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !s.startLoop() {
			yield(nil, ErrConsumed)
			return
		}
		defer s.endLoop()
		for {
			event, err := s.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if event == nil || !yield(event, nil) {
				return
			}
		}
	}
}

// startLoop reports whether no other loop ranges, and marks that one does.
func (s *Subscription) startLoop() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.consumed {
		return false
	}
	s.consumed = true
	return true
}

func (s *Subscription) endLoop() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.consumed = false
}

// endLocked ends the subscription. What is buffered is still delivered.
func (s *Subscription) endLocked(err error) {
	s.ended, s.err, s.paused = true, err, false
	s.catchUp.stop()
	s.notify()
	s.notifyProversLocked()
}

// Close unsubscribes and ends the loop over Events with ErrClosed. What was
// not delivered yet is dropped. Closing twice is fine.
func (s *Subscription) Close() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions[s.id] == s {
		delete(c.subscriptions, s.id)
		if c.conn != nil && !s.paused {
			c.conn.unsubscribeLocked(s.id)
		}
	}
	s.dropLocked()
	s.endLocked(fmt.Errorf("client: %w", ErrClosed))
}

// endSubscriptionLocked ends the live subscription to the ShareData, if there is
// one.
func (c *Client) endSubscriptionLocked(shareDataID string, err error) {
	if s := c.subscriptions[shareDataID]; s != nil {
		delete(c.subscriptions, shareDataID)
		s.endLocked(err)
	}
}
