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

func TestReconnect_SendOrder(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		x, y := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
		p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
		p.send(snapshot("e", 5, 0))
		x.expect("state e-5")

		first := propose(t, c, proposalOf("x"))
		sent := p.expectPropose()
		pinged := make(chan error, 1)
		go func() { _, err := c.Ping(context.Background()); pinged <- err }()
		p.expect(&wire.Ping{})
		p.cut()
		synctest.Wait()
		second := propose(t, c, proposalOf("y"))
		third := propose(t, c, proposalOf("z"))

		p = f.accept()
		p.expect(subscribeTo("x", "e-5"), subscribeTo("y", ""))
		again := p.expectPropose()
		if again.IdempotencyKey != sent.IdempotencyKey || again.CorrelationID != sent.CorrelationID || again.IdempotencyKey == "" {
			t.Errorf("sent again as %s, was %s", again.AppendTo(nil), sent.AppendTo(nil))
		}
		ping, ok := p.receive().(*wire.Ping)
		if !ok {
			t.Fatal("the ping was not sent again")
		}
		queued := p.expectPropose()
		last := p.expectPropose()
		if queued.ShareDataID != "y" || last.ShareDataID != "z" || queued.IdempotencyKey == sent.IdempotencyKey {
			t.Errorf("flushed %s and %s", queued.AppendTo(nil), last.AppendTo(nil))
		}
		p.send(acceptedAs(last, "e-8"), acceptedAs(again, "e-6"), &wire.Pong{CorrelationID: ping.CorrelationID}, acceptedAs(queued, "e-7"))
		for want, outcome := range map[string]<-chan proposed{"e-6": first, "e-7": second, "e-8": third} {
			if got := <-outcome; got.err != nil || got.result.TransactionID != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
		if err := <-pinged; err != nil {
			t.Error(err)
		}
		y.quiet()
	})
}

func TestReconnect_Delay(t *testing.T) {
	tests := []struct {
		name string
		end  func(p *peer)
		want time.Duration
	}{
		{"cut", func(p *peer) { p.cut() }, 500 * ms},
		{"1001", func(p *peer) { p.close(1001, "bye") }, 500 * ms},
		{"4001", func(p *peer) { p.close(4001, "fell behind") }, 0},
		{"4002", func(p *peer) { p.close(4002, "expired") }, 0},
		{"not JSON", func(p *peer) { p.sendText("{") }, 500 * ms},
		{"invalid frame", func(p *peer) { p.sendText(`{"v":1,"type":"state"}`) }, 500 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				p, s := f.subscribe(&Options{Token: func(context.Context) (string, error) { return "t", nil }})
				start := time.Now()
				test.end(p)
				<-p.ended
				p = f.accept()
				if got := time.Since(start); got != test.want {
					t.Errorf("reconnected after %v, want %v", got, test.want)
				}
				p.expect(subscribeTo("x", "e-5"))
				p.send(snapshot("e", 6, 1), replayed(6))
				s.expect("state e-6 resumed +1", "tx e-6 replayed")
			})
		})
	}
}

func TestFellBehind_WithProgress(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		start := time.Now()
		for range 5 {
			outcome := propose(t, c, proposalOf("x"))
			p.send(acceptedAs(p.expectPropose(), "e-1"))
			if got := <-outcome; got.err != nil {
				t.Fatal(got.err)
			}
			p.close(4001, "fell behind")
			p = f.accept()
		}
		s := follow(t, c.SubscribeFrom("x", "e-1"))
		for revision := 2; revision < 7; revision++ {
			p.expect(subscribeWithoutState("x", numbered(revision-1)))
			p.send(snapshot("e", 10, 11-revision), replayed(revision))
			s.expect(fmt.Sprintf("state e-10 resumed +%d", 11-revision), "tx "+numbered(revision)+" replayed")
			p.close(4001, "fell behind")
			p = f.accept()
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("took %v", got)
		}
	})
}

func TestFellBehind_WithoutProgress(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		_, p := f.connect(nil)
		start := time.Now()
		var waits []time.Duration
		for range 5 {
			p.close(4001, "fell behind")
			p = f.accept()
			waits = append(waits, time.Since(start))
			start = time.Now()
		}
		if got, want := fmt.Sprint(waits), "[0s 500ms 1s 2s 4s]"; got != want {
			t.Errorf("waits %v, want %v", got, want)
		}
	})
}

func TestReconnect_Off(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{Backoff: Backoff{Initial: -1}})
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.cut()
		var lost *DisconnectError
		if err := s.expectError(ErrClosed); !errors.As(err, &lost) {
			t.Errorf("error %v, want a DisconnectError", err)
		}
		time.Sleep(time.Hour)
		if got := len(f.attempts()); got != 1 {
			t.Errorf("%d attempts", got)
		}
	})
}

func TestUnknownFrames_Ignored(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.sendText(`{"v":1,"type":"presence","who":"me"}`)
		p.send(
			&wire.Error{Code: "maintenance", Message: "at noon"},
			&wire.Pong{CorrelationID: "none's"},
			&wire.ProposalResult{CorrelationID: "none's", Accepted: true},
			&wire.State{ShareDataID: "none's", CurrentState: json.RawMessage("1")},
			&wire.Transaction{ShareDataID: "none's", TransactionID: "t"},
			snapshot("e", 5, 0),
		)
		s.expect("state e-5")
		var serverError *ServerError
		if got := c.Status(); got.State != Open || !errors.As(got.Err, &serverError) || serverError.Code != "maintenance" {
			t.Errorf("status %+v", got)
		}
	})
}

func TestReply_WrongType(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		outcome := propose(t, c, proposalOf("x"))
		sent := p.expectPropose()
		p.send(&wire.Pong{CorrelationID: sent.CorrelationID}, acceptedAs(sent, "e-1"))
		if got := <-outcome; got.err != nil || got.result.TransactionID != "e-1" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestMaxMessageBytes(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{MaxMessageBytes: 1000})
		p.sendText(`{"v":1,"type":"pong","correlationId":"` + strings.Repeat("x", 2000) + `"}`)
		f.accept()
		for status := range c.Statuses(context.Background()) {
			if status.State == Open {
				break
			}
		}
	})
}

func TestPing_RateLimited(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		pinged := make(chan error, 1)
		go func() { _, err := c.Ping(context.Background()); pinged <- err }()
		ping := p.receive().(*wire.Ping)
		p.send(&wire.Error{Code: codes.RateLimited, CorrelationID: ping.CorrelationID, RetryAfterMs: 700})
		var refused *ServerError
		if err := <-pinged; !errors.As(err, &refused) || refused.RetryAfter != 700*ms {
			t.Errorf("got %v", err)
		}
		if got := c.Status(); got.State != Open || got.Err != nil {
			t.Errorf("status %+v", got)
		}
	})
}
