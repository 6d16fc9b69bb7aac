package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func TestPropose_Outcome(t *testing.T) {
	tests := []struct {
		name   string
		answer wire.ProposalResult
		want   Result
		err    string // of a ProposalError
	}{
		{"accepted", wire.ProposalResult{Accepted: true, TransactionID: "e-1"}, Result{Accepted: true, TransactionID: "e-1"}, ""},
		{"duplicate", wire.ProposalResult{Accepted: true, TransactionID: "e-1", Duplicate: true}, Result{Accepted: true, TransactionID: "e-1", Duplicate: true}, ""},
		{"rejected by the function", wire.ProposalResult{TransactionID: "e-1", Error: "below zero"}, Result{TransactionID: "e-1", Error: "below zero", Code: codes.Rejected}, ""},
		{"rejected, no reason given", wire.ProposalResult{TransactionID: "e-1"}, Result{TransactionID: "e-1", Code: codes.Rejected}, ""},
		{"refused", wire.ProposalResult{Error: "unknown function"}, Result{}, "unknown function"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				outcome := propose(t, c, proposalOf("x"))
				sent := p.expectPropose()
				test.answer.CorrelationID = sent.CorrelationID
				p.send(&test.answer)
				got := <-outcome
				if !reflect.DeepEqual(got.result, test.want) {
					t.Errorf("result %+v, want %+v", got.result, test.want)
				}
				var refused *ProposalError
				switch {
				case test.err == "" && got.err != nil:
					t.Errorf("error %v", got.err)
				case test.err != "" && (!errors.As(got.err, &refused) || refused.Message != test.err || refused.ShareDataID != "x" || refused.FunctionID != "add"):
					t.Errorf("error %#v", got.err)
				}
			})
		})
	}
}

func TestPropose_Frame(t *testing.T) {
	type input struct {
		By int `json:"by"`
	}
	tests := []struct {
		name string
		give Proposal
		want *wire.Propose
	}{
		{"a value", Proposal{ShareDataID: "x", FunctionID: "add", Data: input{1}}, proposeFrame("x")},
		{"raw JSON", Proposal{ShareDataID: "x", FunctionID: "add", Data: json.RawMessage(`{"by":1}`)}, proposeFrame("x")},
		{"nothing", Proposal{ShareDataID: "x", FunctionID: "reset"}, &wire.Propose{ShareDataID: "x", FunctionID: "reset", ProposedData: json.RawMessage("null")}},
		{"key and proof", Proposal{ShareDataID: "x", FunctionID: "add", Data: input{1}, IdempotencyKey: "mine", Proof: map[string]int{"p": 1}},
			&wire.Propose{ShareDataID: "x", FunctionID: "add", ProposedData: json.RawMessage(`{"by":1}`), IdempotencyKey: "mine", Proof: json.RawMessage(`{"p":1}`)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				propose(t, c, test.give)
				p.expect(test.want)
			})
		})
	}
}

func TestPropose_UniqueKeys(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{MaxInFlight: 50})
		keys, ids := make(map[string]bool), make(map[string]bool)
		const n = 50
		for range n {
			propose(t, c, proposalOf("x"))
			sent := p.expectPropose()
			if len(sent.IdempotencyKey) < 26 { // base32 of 128 bits
				t.Errorf("key %q is short of 128 random bits", sent.IdempotencyKey)
			}
			keys[sent.IdempotencyKey], ids[sent.CorrelationID] = true, true
		}
		if len(keys) != n || len(ids) != n {
			t.Errorf("%d keys and %d correlation ids for %d proposals", len(keys), len(ids), n)
		}
	})
}

func TestPropose_Invalid(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		for name, bad := range map[string]Proposal{
			"no id":          {FunctionID: "add"},
			"no function":    {ShareDataID: "x"},
			"id not UTF-8":   {ShareDataID: "\xff", FunctionID: "add"},
			"not JSON":       {ShareDataID: "x", FunctionID: "add", Data: json.RawMessage("{")},
			"two of a name":  {ShareDataID: "x", FunctionID: "add", Data: json.RawMessage(`{"a":1,"a":2}`)},
			"not marshalled": {ShareDataID: "x", FunctionID: "add", Data: math.NaN()},
			"bad proof":      {ShareDataID: "x", FunctionID: "add", Proof: func() {}},
		} {
			if _, err := c.ProposeWith(context.Background(), bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: error %v, want ErrInvalid", name, err)
			}
		}
		p.quiet()
	})
}

func TestTimeout_CountsFromCall(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{RequestTimeout: 10 * time.Second})
		start := time.Now()
		sent := propose(t, c, proposalOf("x"))
		p.expectPropose()
		time.Sleep(4 * time.Second)
		f.set(func(f *fake) { f.down = true })
		p.cut()
		synctest.Wait()
		queued := propose(t, c, proposalOf("y"))
		for name, outcome := range map[string]<-chan proposed{"sent": sent, "queued": queued} {
			if got := <-outcome; !errors.Is(got.err, ErrTimeout) || !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want ErrTimeout", name, got.err)
			}
		}
		if got := time.Since(start); got != 14*time.Second {
			t.Errorf("after %v", got)
		}
		f.set(func(f *fake) { f.down = false })
		f.accept().quiet() // nothing that none waits for is sent
	})
}

func TestPropose_ContextEnds(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{RequestTimeout: -1})
		ctx, cancel := context.WithCancel(context.Background())
		outcome := proposeWithin(t, ctx, c, proposalOf("x"))
		p.expectPropose()
		time.Sleep(time.Hour)
		cancel()
		if got := <-outcome; !errors.Is(got.err, context.Canceled) {
			t.Errorf("error %v", got.err)
		}
		if _, err := c.Propose(ctx, "x", "add", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		p.quiet()
	})
}

func TestPropose_AbandonedUnsent(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		synctest.Wait()
		f.lastLine.stallFor(5 * time.Second)
		c.Subscribe("x") // is taken by the read under way
		p.expect(subscribeTo("x", ""))
		c.Subscribe("y") // has to wait
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.Propose(ctx, "x", "add", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		for range 1000 {
			soon, cancel := context.WithTimeout(context.Background(), ms)
			c.Propose(soon, "x", "add", 1)
			cancel()
		}
		c.mu.Lock()
		if got := len(c.conn.outbox); got > 0 {
			t.Errorf("%d frames wait that are not sent any more", got)
		}
		c.mu.Unlock()
		time.Sleep(10 * time.Second)
		p.expect(subscribeTo("y", ""))
		p.quiet()
	})
}

func TestQueueSize(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.down = true })
		c := f.start(&Options{QueueSize: 3})
		for i := range 3 {
			propose(t, c, proposalOf(fmt.Sprint("x", i)))
		}
		if _, err := c.Propose(context.Background(), "y", "add", 1); !errors.Is(err, ErrQueueFull) {
			t.Errorf("error %v, want ErrQueueFull", err)
		}
		if _, err := c.Ping(context.Background()); !errors.Is(err, ErrQueueFull) {
			t.Errorf("error %v, want ErrQueueFull", err)
		}
		f.set(func(f *fake) { f.down = false })
		p := f.accept()
		for i := range 3 {
			p.expect(proposeFrame(fmt.Sprint("x", i)))
		}
		p.quiet()
	})
}

func TestMaxInFlight(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{MaxInFlight: 2})
		for i := range 4 {
			propose(t, c, proposalOf(fmt.Sprint("x", i)))
		}
		first := p.expectPropose()
		p.expect(proposeFrame("x1"))
		p.quiet()
		p.send(acceptedAs(first, "e-1"))
		p.expect(proposeFrame("x2"))
		p.quiet()
		p.cut()
		p = f.accept()
		p.expect(proposeFrame("x1"), proposeFrame("x2"))
		p.quiet()
	})
}

func TestMaxInFlight_AfterFailure(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{MaxInFlight: 1})
		ctx, cancel := context.WithCancel(context.Background())
		proposeWithin(t, ctx, c, proposalOf("x0"))
		propose(t, c, proposalOf("x1"))
		propose(t, c, proposalOf("x2"))
		p.expect(proposeFrame("x0"))
		p.quiet()
		cancel()
		second := p.expectPropose()
		p.quiet()
		p.send(&wire.Error{Code: codes.Unauthorized, Message: "no", CorrelationID: second.CorrelationID})
		p.expect(proposeFrame("x2"))
	})
}

func TestPropose_ErrorFrame(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		outcome := propose(t, c, proposalOf("x"))
		p.send(&wire.Error{Code: codes.InternalError, Message: "no idea", CorrelationID: p.expectPropose().CorrelationID})
		var refused *ProposalError
		if got := <-outcome; !errors.As(got.err, &refused) || refused.Code != codes.InternalError || refused.Message != "no idea" {
			t.Errorf("got %+v", got)
		}
		if got := c.Status(); got.State != Open || got.Err != nil {
			t.Errorf("status %+v", got)
		}
	})
}

func TestPing_RoundTrip(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.down = true })
		c := f.start(nil)
		type measured struct {
			rtt time.Duration
			err error
		}
		outcome := make(chan measured, 1)
		go func() { rtt, err := c.Ping(context.Background()); outcome <- measured{rtt, err} }()
		time.Sleep(time.Second)
		f.set(func(f *fake) { f.down = false })
		p := f.accept()
		ping := p.receive().(*wire.Ping)
		time.Sleep(70 * time.Millisecond)
		p.send(&wire.Pong{CorrelationID: ping.CorrelationID})
		if got := <-outcome; got != (measured{70 * time.Millisecond, nil}) {
			t.Errorf("got %+v, want 70ms: time in the queue does not count", got)
		}
	})
}
