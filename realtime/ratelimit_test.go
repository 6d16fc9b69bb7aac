package realtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
)

func TestMessagesPerSecond_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MessagesPerSecond: 10, MessageBurst: 4, Heartbeat: -1})
		ts.create("c")
		p := ts.dial()
		p.join("c", "")
		for range 3 {
			p.wantPong("within the burst")
		}
		p.subscribe("c", "")
		if e := p.wantError(codes.RateLimited, "c"); e.RetryAfterMs != 100 {
			t.Errorf("got %s", e.AppendTo(nil))
		}
		p.ping("p")
		if e := p.wantError(codes.RateLimited, ""); e.RetryAfterMs != 200 || e.CorrelationID != "p" {
			t.Errorf("got %s", e.AppendTo(nil))
		}
		p.propose("c", "add", `{"by":1}`, "r")
		r := want[*wire.ProposalResult](p)
		if r.RetryAfterMs != 300 || r.CorrelationID != "r" || r.Code != codes.RateLimited || r.Accepted {
			t.Errorf("got %s", r.AppendTo(nil))
		}
		time.Sleep(time.Duration(r.RetryAfterMs) * time.Millisecond)
		p.propose("c", "add", `{"by":1}`, "r")
		p.wantTransactions(2, 2)
		if r := want[*wire.ProposalResult](p); !r.Accepted {
			t.Errorf("got %s", r.AppendTo(nil))
		}
		time.Sleep(time.Minute)
		for range 4 {
			p.wantPong("the burst is back")
		}
		p.send(`{"v":1,"type":"unsubscribe","shareDataId":"c"}`) // over the limit, and carried out
		synctest.Wait()
		if n := ts.server.Connections()[0].Subscriptions; n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// A peer that goes on gets a bounded number of replies, then the close frame.
func TestMessagesPerSecond_Flood(t *testing.T) {
	for _, test := range []struct {
		name, frame string
		replies     int
	}{
		{"messages", string(masked(0x81, `{"v":1,"type":"ping","correlationId":"a"}`)), 10 + 256},
		{"pings", string(masked(0x89, "")), 10},
		{"pongs", string(masked(0x8A, "unasked")), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				ts := servePipes(t, &realtime.Options{MessagesPerSecond: 10, MessageBurst: 10, Observer: r.observer(), Heartbeat: -1})
				p := ts.dialRaw()
				written := make(chan struct{})
				go func() {
					defer close(written)
					p.repeat([]byte(test.frame), 5000)
				}()
				replies, code := p.countFrames()
				if code != codes.ClosePolicyViolation || replies > test.replies {
					t.Errorf("close code %d after %d replies, want at most %d", code, replies, test.replies)
				}
				if c := r.wantClosed(t, codes.ClosePolicyViolation); time.Since(c.OpenedAt) > 10*time.Second {
					t.Errorf("ended %v after it began", time.Since(c.OpenedAt))
				}
				<-written
			})
		})
	}
}

// A client that has 32 calls in flight, as the Go client, and repeats each after
// retryAfterMs, is slowed down and not closed.
func TestMessagesPerSecond_HonestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, inFlight = 200, 32
		ts := servePipes(t, &realtime.Options{MessagesPerSecond: 10, MessageBurst: 1, Heartbeat: -1, IdleTimeout: -1})
		ts.create("c")
		p := ts.dial()
		p.unchecked = true
		sent, done := 0, 0
		next := func() {
			if sent < calls {
				sent++
				p.propose("c", "add", `{"by":1}`, "r")
			}
		}
		for range inFlight {
			next()
		}
		for done < calls {
			r := want[*wire.ProposalResult](p)
			if r.Accepted {
				done++
				next()
				continue
			}
			time.AfterFunc(time.Duration(r.RetryAfterMs)*time.Millisecond, func() { p.propose("c", "add", `{"by":1}`, "r") })
		}
	})
}
