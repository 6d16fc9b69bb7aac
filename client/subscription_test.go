package client

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// A second live subscription to one ShareData fails in its own handle and leaves
// the first as it is, whatever is done with the second.
func TestSubscribe_AlreadySubscribed(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		c, first := f.client, s.sub
		for _, second := range []*Subscription{c.Subscribe("x"), c.SubscribeFrom("x", "e-1")} {
			follow(t, second).expectError(ErrAlreadySubscribed)
			second.Close()
		}
		p.quiet()
		p.send(transaction(6))
		s.expect("tx e-6")

		first.Close()
		first.Close()
		p.expect(unsubscribeFrom("x"))
		s.expectError(ErrClosed)
		third := c.SubscribeFrom("x", "e-1")
		if got := third.ShareDataID(); got != "x" {
			t.Errorf("id %q", got)
		}
		p.expect(subscribeWithoutState("x", "e-1"))
		p.quiet()
		first.Close() // is not the live one
		p.quiet()
		p.send(snapshot("e", 6, 5), replayed(2))
		follow(t, third).expect("state e-6 resumed +5", "tx e-2 replayed")
	})
}

func TestSubscribe_InvalidID(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		for _, s := range []*Subscription{c.Subscribe(""), c.Subscribe("\xff"), c.SubscribeFrom("x", "\xff")} {
			follow(t, s).expectError(ErrInvalid)
		}
		p.quiet()
	})
}

func TestSubscribe_Refused(t *testing.T) {
	tests := []struct {
		report wire.Error
		want   error
	}{
		{wire.Error{Code: codes.UnauthorizedSubscribe, Message: "no", ShareDataID: "y"}, ErrUnauthorized},
		{wire.Error{Code: codes.TooManySubscriptions, Message: "no", ShareDataID: "y"}, ErrTooManySubscriptions},
		{wire.Error{Code: codes.UnauthorizedSubscribe, Message: "not authorized to subscribe to y"}, ErrUnauthorized},
	}
	for _, test := range tests {
		t.Run(test.report.Code, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				x, y, z := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y")), follow(t, c.Subscribe("z"))
				p.expect(subscribeTo("x", ""), subscribeTo("y", ""), subscribeTo("z", ""))
				p.send(&test.report, snapshot("e", 5, 0), of("z", snapshot("e", 6, 0)))
				y.expectError(test.want)
				x.expect("state e-5")
				z.expect("state e-6")
				if got := len(f.attempts()); got != 1 {
					t.Errorf("%d connections", got)
				}
			})
		})
	}
}

// An authorizer has codes of its own.
func TestSubscribe_RefusedWithOwnCode(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(&wire.Error{Code: "payment-required", ShareDataID: "x"})
		if err, ok := s.receive().(*ServerError); !ok || err.Code != "payment-required" {
			t.Errorf("got %v", err)
		}
		s.expectEnd()
	})
}

func TestSubscribe_Revoked(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.UnauthorizedSubscribe, Message: "revoked", ShareDataID: "x"})
		s.expect("state e-5")
		s.expectError(ErrUnauthorized)
	})
}

// The server may end a subscription for now, too: the client subscribes again and
// resumes.
func TestSubscribe_EndedForNow(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		p, s := f.subscribe(nil)
		p.send(transaction(6), &wire.Error{Code: codes.Unavailable, ShareDataID: "x", RetryAfterMs: 5000},
			&wire.Error{Code: codes.Unavailable, ShareDataID: "x", RetryAfterMs: 9000})
		s.expect("tx e-6")
		time.Sleep(5*time.Second - ms)
		p.quiet()
		p.expect(subscribeTo("x", "e-6"))
		p.send(snapshot("e", 7, 1), replayed(7))
		s.expect("state e-7 resumed +1", "tx e-7 replayed")
	})
}

func TestSubscribe_RetriedAsServerAsks(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(&wire.Error{Code: codes.RateLimited, ShareDataID: "x", RetryAfterMs: 90_000})
		time.Sleep(90*time.Second - ms)
		p.quiet()
		p.expect(subscribeTo("x", ""))
	})
}

func TestSubscribe_RetriedWhenUnavailable(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		var waits []time.Duration
		for range 3 {
			start := time.Now()
			select {
			case frame := <-p.frames:
				waits = append(waits, time.Since(start))
				if _, ok := frame.(*wire.Subscribe); !ok {
					t.Fatalf("got %s", frame.AppendTo(nil))
				}
			case <-time.After(time.Minute):
				t.Fatal("not repeated")
			}
			p.send(&wire.Error{Code: codes.Unavailable, Message: "store is away", ShareDataID: "x"})
		}
		if got, want := fmt.Sprint(waits), "[0s 1s 2s]"; got != want {
			t.Errorf("waits %v, want %v", got, want)
		}
		time.Sleep(4 * time.Second)
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0))
		s.expect("state e-5")
		p.cut()

		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.send(&wire.Error{Code: codes.InternalError, Message: "again", ShareDataID: "x"})
		time.Sleep(time.Second)
		p.expect(subscribeTo("x", "e-5"))
	})
}

func TestSubscribe_DropsEarlierFrames(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		old := c.Subscribe("x")
		old.Close()
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.quiet() // a server need not answer a subscribe that was overtaken
		p.send(snapshot("e", 5, 0), transaction(6))
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.send(transaction(7), snapshot("e", 7, 0), transaction(8))
		s.expect("state e-7", "tx e-8")
	})
}

func TestUnsubscribe_BeforeAnswer(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		c.Subscribe("x").Close()
		c.Subscribe("y").Close()
		p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
		p.quiet()
		p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.Unavailable, Message: "later", ShareDataID: "y"})
		p.expect(unsubscribeFrom("x"), unsubscribeFrom("y"))
		time.Sleep(10 * time.Second)
		p.quiet()
	})
}

func TestSubscribe_EarlierRefusal(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		c.Subscribe("x").Close()
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(&wire.Error{Code: codes.TooManySubscriptions, Message: "no", ShareDataID: "x"})
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0))
		s.expect("state e-5")
	})
}

func TestRemoved_EndsSubscription(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		s := follow(t, sub)
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), removed(6))
		s.expect("state e-5", "removed 6")
		s.expectEnd()
		for event, err := range sub.Events(context.Background()) {
			t.Errorf("got %v, %v after the end", event, err)
		}
		if got := sub.Cursor(); got != "" {
			t.Errorf("cursor %q of what is gone", got)
		}
		again := c.Subscribe("x")
		if again == sub {
			t.Fatal("the handle that ended was returned")
		}
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("f", 1, 0))
		follow(t, again).expect("state f-1")
	})
}
