package client

import (
	"context"
	"fmt"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"
)

// Subscription delivers the events of one ShareData, in order, each once. Its
// methods may be called from any number of goroutines, but only one loop at a
// time may range over Events.
type Subscription struct {
	// Immutable.
	client *Client
	id     string
	number uint64        // order of subscriptions
	ready  chan struct{} // has room for one: the state for popLocked has changed

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
// empty cursor is none.
func (c *Client) SubscribeFrom(shareDataID, cursor string) *Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptionCount++
	s := &Subscription{
		client:    c,
		id:        shareDataID,
		number:    c.subscriptionCount,
		ready:     make(chan struct{}, 1),
		catchUp:   catchUp{shareDataID: shareDataID},
		delivered: position{known: cursor != "", cursor: cursor},
	}
	switch {
	case c.stopErr != nil:
		s.endLocked(c.stopErr)
	case shareDataID == "" || !utf8.ValidString(shareDataID) || !utf8.ValidString(cursor):
		s.endLocked(fmt.Errorf("client: %w: a ShareData id is UTF-8 text and not empty", ErrInvalid))
	case c.subscriptions[shareDataID] != nil:
		s.endLocked(fmt.Errorf("client: %w, %.60q: range over the live subscription, or close it first", ErrAlreadySubscribed, shareDataID))
	default:
		c.subscriptions[shareDataID] = s
		c.subscribeLocked(s)
	}
	return s
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

// next waits for an event. After a removal it returns nil and no error.
func (s *Subscription) next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.client.mu.Lock()
		event, ended, err := s.popLocked()
		s.client.mu.Unlock()
		if event != nil || ended {
			return event, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// popLocked takes the oldest event and moves the position past it.
func (s *Subscription) popLocked() (event Event, ended bool, err error) {
	if len(s.buffer) == 0 {
		return nil, s.ended, s.err
	}
	first := s.buffer[0]
	s.buffer[0] = item{}
	s.buffer = s.buffer[1:]
	s.buffered -= first.event.size()
	s.delivered = first.after
	if len(s.buffer) == 0 {
		s.buffer = nil
		if s.paused {
			s.paused = false
			s.client.subscribeLocked(s)
		}
	}
	return first.event, false, nil
}

// pushLocked buffers an event. It returns false if the buffer is full, unless force
// is set.
func (s *Subscription) pushLocked(it item, force bool) bool {
	size := it.event.size()
	o := &s.client.options
	full := len(s.buffer) >= o.EventBuffer || s.buffered+size > o.EventBufferBytes
	if full && len(s.buffer) > 0 && !force {
		return false
	}
	s.buffer = append(s.buffer, it)
	s.buffered += size
	s.notify()
	return true
}

// receivedLocked is the position after everything that was received.
func (s *Subscription) receivedLocked() position {
	if n := len(s.buffer); n > 0 {
		return s.buffer[n-1].after
	}
	return s.delivered
}

func (s *Subscription) notify() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
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

// dropLocked drops the buffered events.
func (s *Subscription) dropLocked() { s.buffer, s.buffered = nil, 0 }

// endSubscriptionLocked ends the live subscription to the ShareData, if there is
// one.
func (c *Client) endSubscriptionLocked(shareDataID string, err error) {
	if s := c.subscriptions[shareDataID]; s != nil {
		delete(c.subscriptions, shareDataID)
		s.endLocked(err)
	}
}
