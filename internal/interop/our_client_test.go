package interop_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"testing"
	"time"

	"github.com/safe-go/safe/client"
)

// ourClient is a client of this project.
type ourClient struct {
	*client.Client
	t *testing.T
}

// dial connects a client of this project, and tryDial returns why it could not.
// options may be nil.
func dial(t *testing.T, url string, options *client.Options) *ourClient {
	t.Helper()
	c, err := tryDial(t, url, options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, url string, options *client.Options) (*ourClient, error) {
	t.Helper()
	var own client.Options
	if options != nil {
		own = *options
	}
	if own.Token == nil {
		// A client with a token asks the server when it expires.
		own.Token = client.StaticToken("any")
	}
	transport := &http.Transport{}
	own.HTTPClient = &http.Client{Transport: transport}
	own.Backoff = client.Backoff{Initial: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c, err := client.Dial(ctx, url, &own)
	t.Cleanup(transport.CloseIdleConnections)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return &ourClient{c, t}, nil
}

// subscribe subscribes, and waits for events.
func (c *ourClient) subscribe(id string, events ...string) *ourSubscription {
	c.t.Helper()
	s := &ourSubscription{c.Subscribe(id), c.t}
	s.want(events...)
	return s
}

// propose proposes and returns the verdict.
func (c *ourClient) propose(p client.Proposal) client.Result {
	c.t.Helper()
	got := <-c.beginPropose(p)
	if got.err != nil {
		c.t.Fatal(got.err)
	}
	return got.result
}

// outcome is what Propose returns.
type outcome struct {
	result client.Result
	err    error
}

// beginPropose proposes and returns a channel for the outcome.
func (c *ourClient) beginPropose(p client.Proposal) <-chan outcome {
	ctx, cancel := context.WithTimeout(c.t.Context(), testTimeout)
	waiting := make(chan outcome, 1)
	go func() {
		defer cancel()
		var got outcome
		got.result, got.err = c.ProposeWith(ctx, p)
		waiting <- got
	}()
	return waiting
}

// ping waits until everything that the server has sent is received.
func (c *ourClient) ping() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), testTimeout)
	defer cancel()
	if took, err := c.Ping(ctx); err != nil || took <= 0 {
		c.t.Fatalf("ping took %v: %v", took, err)
	}
}

// whenLost watches the connection from now on. wait waits until it is lost.
func (c *ourClient) whenLost() (wait func() client.Status) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), testTimeout)
	next, stop := iter.Pull(c.Statuses(ctx))
	c.t.Cleanup(func() { stop(); cancel() })
	if now, _ := next(); now.State != client.Open {
		c.t.Fatalf("the connection is %v", now.State)
	}
	return func() client.Status {
		c.t.Helper()
		status, _ := next()
		if status.State != client.Reconnecting {
			c.t.Fatalf("the connection was not lost: %+v", status)
		}
		return status
	}
}

// ourSubscription is a subscription whose events are read one by one.
type ourSubscription struct {
	*client.Subscription
	t *testing.T
}

// next waits for the next event. Neither event nor error is the end after a
// removal.
func (s *ourSubscription) next() (client.Event, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), testTimeout)
	defer cancel()
	for event, err := range s.Events(ctx) {
		return event, err
	}
	return nil, nil
}

// want waits for events with these descriptions.
func (s *ourSubscription) want(events ...string) {
	s.t.Helper()
	for _, want := range events {
		event, err := s.next()
		if err != nil {
			s.t.Fatalf("no event, but %v; want %s", err, want)
		}
		if got := describe(event); got != want {
			s.t.Fatalf("event\n got %s\nwant %s", got, want)
		}
	}
}

// describe returns a short description of an event.
func describe(event client.Event) string {
	switch e := event.(type) {
	case *client.State:
		kind, last := "state", "none"
		if e.Resumed {
			kind = "resumed"
		}
		if e.LastTransactionID != "" {
			last = place(e.LastTransactionID)
		}
		return fmt.Sprintf("%s: %s, last %s", kind, e.CurrentState, last)
	case *client.Transaction:
		return place(e.TransactionID) + " " + verdict(e.Accepted) + stateOf(e.CurrentState, e.Replayed)
	case *client.Lifecycle:
		kind := "updated"
		if e.Removed {
			kind = "removed"
		}
		return kind + stateOf(e.CurrentState, e.Replayed)
	case *client.Gap:
		return "gap after " + place(e.Cursor)
	}
	return fmt.Sprintf("%T", event)
}

// published returns the live events of additions to the counter of a published server
// from the first value to the last. Its transactions are numbered from 1.
func published(first, last int) []string {
	var events []string
	for n := first; n <= last; n++ {
		events = append(events, fmt.Sprintf(`#%d accepted: {"value":%d}`, n, n))
	}
	return events
}

// publishedReplay is published for replayed events.
func publishedReplay(first, last int) []string {
	var events []string
	for n := first; n <= last; n++ {
		events = append(events, fmt.Sprintf("#%d accepted, replayed", n))
	}
	return events
}
