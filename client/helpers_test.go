package client

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// events follows a subscription from a goroutine of its own.
type events struct {
	t      testing.TB
	sub    *Subscription
	next   chan any // Event or error
	cancel context.CancelFunc
}

func follow(t testing.TB, s *Subscription) *events {
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{t: t, sub: s, next: make(chan any), cancel: cancel}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(e.next)
		for event, err := range s.Events(ctx) {
			var got any = event
			if err != nil {
				got = err
			}
			select {
			case e.next <- got:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return e
}

func (e *events) receive() any {
	e.t.Helper()
	select {
	case got := <-e.next:
		return got
	case <-time.After(2 * time.Minute):
		e.t.Fatal("no event comes")
		return nil
	}
}

// expect takes events, described in few words as in describe.
func (e *events) expect(want ...string) {
	e.t.Helper()
	for _, w := range want {
		got := e.receive()
		event, ok := got.(Event)
		if !ok {
			e.t.Fatalf("got %v, want %q", got, w)
		}
		if d := describe(event); d != w {
			e.t.Fatalf("got %q, want %q", d, w)
		}
	}
}

// expectError takes the error that the events end with.
func (e *events) expectError(want error) error {
	e.t.Helper()
	got := e.receive()
	err, ok := got.(error)
	if !ok || !errors.Is(err, want) {
		e.t.Fatalf("got %v, want error %v", got, want)
	}
	e.expectEnd()
	return err
}

// expectEnd checks that the events end here.
func (e *events) expectEnd() {
	e.t.Helper()
	select {
	case got, ok := <-e.next:
		if ok {
			e.t.Fatalf("got %v after the end", got)
		}
	case <-time.After(time.Minute):
		e.t.Fatal("the loop does not end")
	}
}

// quiet checks that no event waits.
func (e *events) quiet() {
	e.t.Helper()
	synctest.Wait()
	select {
	case got := <-e.next:
		e.t.Fatalf("got %v, want nothing", got)
	default:
	}
}

// proposed is the outcome of a Propose.
type proposed struct {
	result Result
	err    error
}

// propose proposes from a goroutine of its own.
func propose(t testing.TB, c *Client, p Proposal) <-chan proposed {
	return proposeWithin(t, context.Background(), c, p)
}

func proposeWithin(t testing.TB, ctx context.Context, c *Client, p Proposal) <-chan proposed {
	outcome := make(chan proposed, 1)
	var done sync.WaitGroup
	done.Go(func() {
		result, err := c.ProposeWith(ctx, p)
		outcome <- proposed{result, err}
	})
	t.Cleanup(func() { c.Close(); done.Wait() })
	synctest.Wait()
	return outcome
}

func proposalOf(id string) Proposal {
	return Proposal{ShareDataID: id, FunctionID: "add", Data: json.RawMessage(`{"by":1}`)}
}
