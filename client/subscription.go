package client

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Subscription delivers the events of one ShareData, in order, each once. Its
// methods may be called from any number of goroutines, but only one loop at a
// time may range over Events.
type Subscription struct {
	// Immutable.
	client *Client
	id     string
	number uint64        // place in the order of subscriptions
	ready  chan struct{} // has room for one: the consumer should look

	// Guarded by the client's lock.
	catchUp catchUp
	round   uint64 // how often it was subscribed to
	// buffer holds what the consumer has not taken yet, oldest first, of
	// buffered bytes; delivered is the position after what it has taken.
	buffer    []item
	buffered  int
	delivered position
	consumed  bool // a loop ranges over Events
	// paused: the buffer was full; subscribe again when it is empty.
	paused bool
	// ended: nothing more will come; err is why, nil after a removal.
	ended bool
	err   error
	// subscribeAt is when to repeat a subscribe that was refused for now;
	// subscribeBackoff spaces such attempts.
	subscribeAt      time.Time
	subscribeBackoff *backoff.ExponentialBackOff
}

func newSubscription(c *Client, id string, from position, number uint64) *Subscription {
	return &Subscription{
		client:    c,
		id:        id,
		number:    number,
		ready:     make(chan struct{}, 1),
		catchUp:   catchUp{shareDataID: id},
		delivered: from,
	}
}

// ShareDataID returns what is subscribed to.
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
//   - ErrConsumed where another loop ranges already.
//
// A loop that is left loses nothing: a later one continues after the event at
// which it was left.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !s.claim() {
			yield(nil, ErrConsumed)
			return
		}
		defer s.release()
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

func (s *Subscription) claim() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.consumed {
		return false
	}
	s.consumed = true
	return true
}

func (s *Subscription) release() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.consumed = false
}

// next waits for an event. It returns none, without an error, after a removal.
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

// pushLocked buffers an event. It returns false if there is no room, unless it
// must go in: the last events of a subscription are few.
func (s *Subscription) pushLocked(it item, must bool) bool {
	size := it.event.size()
	o := &s.client.options
	full := len(s.buffer) >= o.EventBuffer || s.buffered+size > o.EventBufferBytes
	if full && len(s.buffer) > 0 && !must {
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

// dropLocked forgets what was not delivered yet.
func (s *Subscription) dropLocked() { s.buffer, s.buffered = nil, 0 }

// endSubscriptionLocked ends the subscription to the ShareData, if there is
// one, because of the server.
func (c *Client) endSubscriptionLocked(shareDataID string, err error) {
	if s := c.subscriptions[shareDataID]; s != nil {
		delete(c.subscriptions, shareDataID)
		s.endLocked(err)
	}
}
