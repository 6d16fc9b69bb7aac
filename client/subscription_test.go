package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func unsubscribeFrom(id string) *wire.Unsubscribe { return &wire.Unsubscribe{ShareDataID: id} }

// of makes a frame about another ShareData than x.
func of(id string, frame wire.ServerMessage) wire.ServerMessage {
	switch frame := frame.(type) {
	case *wire.State:
		frame.ShareDataID = id
	case *wire.Transaction:
		frame.ShareDataID = id
	}
	return frame
}

func TestSubscribeReturnsTheLiveHandle(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		first := c.Subscribe("x")
		if c.Subscribe("x") != first || c.SubscribeFrom("x", "e-1") != first {
			t.Error("a second handle for one ShareData")
		}
		p.expect(subscribeTo("x", ""))
		p.quiet()
		p.send(snapshot("e", 5, 0))
		synctest.Wait()
		if got := first.ShareDataID(); got != "x" {
			t.Errorf("id %q", got)
		}
		first.Close()
		first.Close()
		p.expect(unsubscribeFrom("x"))
		if c.Subscribe("x") == first {
			t.Error("a closed handle was returned")
		}
		p.expect(subscribeTo("x", ""))
		p.quiet()
		follow(t, first).expectError(ErrClosed)
	})
}

func TestSubscribeWithABadIDIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		for _, s := range []*Subscription{c.Subscribe(""), c.Subscribe("\xff"), c.SubscribeFrom("x", "\xff")} {
			follow(t, s).expectError(ErrInvalid)
		}
		p.quiet()
	})
}

func TestEventsCarryWhatTheFramesSay(t *testing.T) {
	type counter struct{ Value int }
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(
			&wire.State{ShareDataID: "x", CurrentState: json.RawMessage(`{"value":4}`), LastTransactionID: "e-4", Cursor: "e-5", Revision: 5},
			&wire.Transaction{ShareDataID: "x", TransactionID: "e-6", Accepted: true, CurrentState: json.RawMessage(`{"value":6}`), Revision: 6, FunctionID: "add"},
			&wire.Lifecycle{ShareDataID: "x", Event: wire.EventUpdated, CurrentState: json.RawMessage(`{"value":7}`), Cursor: "e-7", Revision: 7},
			&wire.Lifecycle{ShareDataID: "x", Event: wire.EventRemoved, Cursor: "e-8", Revision: 8},
		)
		want := []string{
			`*client.State{"ShareDataID":"x","CurrentState":{"value":4},"Cursor":"e-5","Revision":5,"LastTransactionID":"e-4","Resumed":false,"Replaying":0} 4`,
			`*client.Transaction{"ShareDataID":"x","TransactionID":"e-6","Accepted":true,"CurrentState":{"value":6},"Replayed":false,"Revision":6,"FunctionID":"add"} 6`,
			`*client.Lifecycle{"ShareDataID":"x","Removed":false,"CurrentState":{"value":7},"Replayed":false,"Cursor":"e-7","Revision":7} 7`,
			`*client.Lifecycle{"ShareDataID":"x","Removed":true,"CurrentState":null,"Replayed":false,"Cursor":"e-8","Revision":8} none`,
		}
		for _, w := range want {
			event := s.receive().(Event)
			fields, _ := json.Marshal(event)
			got := fmt.Sprintf("%T%s ", event, fields)
			switch state, err := DecodeState[counter](event); {
			case errors.Is(err, ErrNoState):
				got += "none"
			case err != nil:
				t.Error(err)
			default:
				got += fmt.Sprint(state.Value)
			}
			if got != w {
				t.Errorf("\n got %s\nwant %s", got, w)
			}
		}
		s.expectEnd()
	})
}

func TestDecodeStateSaysWhatDoesNotFit(t *testing.T) {
	if _, err := DecodeState[int](&State{CurrentState: json.RawMessage(`"text"`)}); err == nil || errors.Is(err, ErrNoState) {
		t.Errorf("error %v", err)
	}
	for _, event := range []Event{nil, &Gap{}, &Transaction{Replayed: true}, &Lifecycle{Removed: true}} {
		if _, err := DecodeState[int](event); !errors.Is(err, ErrNoState) {
			t.Errorf("%T: error %v, want ErrNoState", event, err)
		}
	}
}

func TestAConnectionLostInTheMiddleOfAReplayResumesInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		s := follow(t, sub)
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0))
		s.expect("state e-5")
		p.cut()

		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.send(snapshot("e", 9, 4), replayed(6), replayed(7))
		s.expect("state e-9 resumed +4", "tx e-6 replayed", "tx e-7 replayed")
		if got := sub.Cursor(); got != "e-7" {
			t.Errorf("cursor %q in the middle of the replay", got)
		}
		p.cut()

		p = f.accept()
		p.expect(subscribeTo("x", "e-7"))
		p.send(snapshot("e", 9, 2), replayed(8), replayed(9), transaction(10))
		s.expect("state e-9 resumed +2", "tx e-8 replayed", "tx e-9 replayed", "tx e-10")
	})
}

func TestGapIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		s := follow(t, sub)
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0))
		s.expect("state e-5")
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-5"))
		p.send(snapshot("f", 2, 0), &wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost", ShareDataID: "x"})
		s.expect("gap after e-5", "state f-2")
		if got := sub.Cursor(); got != "f-2" {
			t.Errorf("cursor %q after the gap", got)
		}
		s.quiet()
	})
}

func TestWhatWasReceivedIsNotAskedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7))
		synctest.Wait()
		if got := sub.Cursor(); got != "" {
			t.Errorf("cursor %q before anything was delivered", got)
		}
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "e-7"))
		p.send(snapshot("e", 8, 1), replayed(8))
		s := follow(t, sub)
		s.expect("state e-5", "tx e-6", "tx e-7", "state e-8 resumed +1", "tx e-8 replayed")
	})
}

func TestALoopThatIsLeftLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7), transaction(8))
		var got []string
		for range 4 {
			for event, err := range sub.Events(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, describe(event)+" at "+sub.Cursor())
				break
			}
		}
		if got, want := strings.Join(got, ", "), "state e-5 at e-5, tx e-6 at e-6, tx e-7 at e-7, tx e-8 at e-8"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for event, err := range sub.Events(ctx) {
			if event != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, %v", event, err)
			}
		}
	})
}

func TestOnlyOneLoopMayConsume(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, _ := f.connect(nil)
		sub := c.Subscribe("x")
		first := follow(t, sub)
		synctest.Wait()
		follow(t, sub).expectError(ErrConsumed)
		first.cancel()
		synctest.Wait()
		follow(t, sub).quiet()
	})
}

func TestSubscribeFromContinuesAnEarlierProcess(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		x, y := follow(t, c.SubscribeFrom("x", "e-5")), follow(t, c.SubscribeFrom("y", "e-9"))
		p.expect(subscribeTo("x", "e-5"), subscribeTo("y", "e-9"))
		p.send(snapshot("e", 6, 1), replayed(6), of("y", snapshot("f", 1, 0)))
		x.expect("state e-6 resumed +1", "tx e-6 replayed")
		y.expect("gap after e-9", "state f-1")
	})
}

func TestRefusedSubscriptionsEndWithTheReason(t *testing.T) {
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
			bubble(t, func(t *testing.T, f *fake) {
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

func TestAuthorizationLostInTheMiddleEndsTheSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.UnauthorizedSubscribe, Message: "revoked", ShareDataID: "x"})
		s.expect("state e-5")
		s.expectError(ErrUnauthorized)
	})
}

func TestASubscribeThatCannotBeServedJustNowIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestFramesOfAnEarlierSubscriptionAreNotMixedIn(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestASubscriptionClosedBeforeItsAnswerIsUnsubscribedAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestARefusalForAnEarlierSubscriptionDoesNotEndTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestRemovedEndsTheSubscriptionAndANewOneStartsFresh(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestASlowConsumerIsBoundedAndMissesNothing(t *testing.T) {
	large := func(revision int) *wire.Transaction {
		frame := transaction(revision)
		frame.CurrentState = json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`)
		return frame
	}
	tests := []struct {
		name    string
		options Options
	}{
		{"by count", Options{EventBuffer: 3}},
		{"by bytes", Options{EventBufferBytes: 8000}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				c, p := f.connect(&test.options)
				slow, other := c.Subscribe("x"), follow(t, c.Subscribe("y"))
				p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
				p.send(snapshot("e", 5, 0), of("y", snapshot("e", 5, 0)))
				other.expect("state e-5")
				for revision := 6; revision <= 20; revision++ {
					p.send(large(revision), of("y", transaction(revision)))
					other.expect("tx " + numbered(revision))
				}
				p.expect(unsubscribeFrom("x"))
				p.quiet()
				c.mu.Lock()
				if len(slow.buffer) != 3 || slow.buffered > 8000 {
					t.Errorf("%d events of %d bytes are buffered", len(slow.buffer), slow.buffered)
				}
				c.mu.Unlock()

				s := follow(t, slow)
				s.expect("state e-5", "tx e-6", "tx e-7")
				p.expect(subscribeTo("x", "e-7"))
				p.send(snapshot("e", 9, 2), replayed(8), replayed(9))
				s.expect("state e-9 resumed +2", "tx e-8 replayed", "tx e-9 replayed")
				p.send(transaction(10))
				s.expect("tx e-10")
				if got := len(f.attempts()); got != 1 {
					t.Errorf("%d connections", got)
				}
			})
		})
	}
}

func TestAPausedSubscriptionStaysPausedOverAReconnect(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{EventBuffer: 2})
		sub := c.Subscribe("x")
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(6), transaction(7))
		p.expect(unsubscribeFrom("x"))
		p.cut()
		p = f.accept()
		p.quiet()
		s := follow(t, sub)
		s.expect("state e-5", "tx e-6")
		p.expect(subscribeTo("x", "e-6"))
		p.send(snapshot("e", 7, 1), replayed(7))
		s.expect("state e-7 resumed +1", "tx e-7 replayed")
	})
}

func TestAnEventLargerThanTheBufferIsDelivered(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{EventBufferBytes: 10})
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0))
		s.expect("state e-5")
		p.send(transaction(6))
		s.expect("tx e-6")
	})
}

func TestAMissingFrameIsToldAndHealed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.send(snapshot("e", 5, 0), transaction(7), transaction(8))
		p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
		p.send(snapshot("e", 8, 0), transaction(9))
		s.expect("state e-5", "gap after e-5", "state e-8", "tx e-9")
	})
}

func TestPublishedServerIsFencedByAPing(t *testing.T) {
	reconnected := func(t *testing.T, f *fake) (p *peer, x, y *events) {
		c, p := f.connect(nil)
		x, y = follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
		p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
		p.send(plainState("t5"), of("y", plainState("t15")))
		x.expect("state t5")
		y.expect("state t15")
		p.cut()
		p = f.accept()
		p.expect(subscribeTo("x", "t5"), subscribeTo("y", "t15"))
		return p, x, y
	}
	t.Run("resumed", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t15")))
			y.expect("state t15 resumed")
			x.quiet()
			ping := p.receive().(*wire.Ping)
			p.quiet()
			p.send(plainReplayed("t6"), &wire.Pong{CorrelationID: ping.CorrelationID}, plain("t7"))
			x.expect("state t6 resumed", "tx t6 replayed", "tx t7")
		})
	})
	t.Run("nothing replayed", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			p, x, _ := reconnected(t, f)
			p.send(plainState("t6"))
			ping := p.receive().(*wire.Ping)
			x.quiet()
			p.send(&wire.Pong{CorrelationID: ping.CorrelationID})
			x.expect("state t6 resumed")
		})
	})
	t.Run("one cursor of two is lost", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t16")))
			first, second := p.receive().(*wire.Ping), p.receive().(*wire.Ping)
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "since=t15 not present in retained replay window"})
			y.expect("gap after t15", "state t16")
			x.quiet()
			p.send(&wire.Pong{CorrelationID: first.CorrelationID}, &wire.Pong{CorrelationID: second.CorrelationID})
			x.expect("state t6 resumed")
			y.quiet()
		})
	})
	t.Run("a fence of an earlier round decides nothing", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			c, p := f.connect(&Options{EventBuffer: 1})
			sub := c.SubscribeFrom("x", "t5")
			p.expect(subscribeTo("x", "t5"))
			p.send(plainState("t7"))
			old := p.receive().(*wire.Ping)
			p.send(plainReplayed("t6"))
			p.expect(unsubscribeFrom("x"))
			s := follow(t, sub)
			s.expect("state t7 resumed")
			p.expect(subscribeTo("x", "t5"))
			p.send(plainState("t8"))
			p.expect(&wire.Ping{})
			p.send(&wire.Pong{CorrelationID: old.CorrelationID})
			s.quiet()
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "since=t5 not present"})
			s.expect("gap after t5")
			// There was no room for the state any more.
			p.expect(unsubscribeFrom("x"), subscribeTo("x", ""))
			p.send(plainState("t8"))
			s.expect("state t8")
		})
	})
	t.Run("which cursor is lost is not said", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			p, x, y := reconnected(t, f)
			p.send(plainState("t6"), of("y", plainState("t16")))
			p.send(&wire.Error{Code: codes.ReplayCursorNotFound, Message: "lost"})
			x.expect("gap after t5", "state t6")
			y.expect("gap after t15", "state t16")
		})
	})
}
