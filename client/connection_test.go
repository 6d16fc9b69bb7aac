package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func TestReconnectSubscribesThenResendsThenFlushes(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestHowLongAReconnectWaits(t *testing.T) {
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
			bubble(t, func(t *testing.T, f *fake) {
				c, p := f.connect(&Options{Token: func(context.Context) (string, error) { return "t", nil }})
				s := follow(t, c.Subscribe("x"))
				p.expect(subscribeTo("x", ""))
				p.send(snapshot("e", 5, 0))
				s.expect("state e-5")
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

func TestFellBehindWithProgressReconnectsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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
			p.expect(subscribeTo("x", numbered(revision-1)))
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

func TestFellBehindAgainAndAgainIsNoTightLoop(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

func TestUnauthorizedAsksForATokenOrStops(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		token := "old"
		var used []string
		_, p := f.connect(&Options{Token: func(context.Context) (string, error) { used = append(used, token); return token, nil }})
		token = "new"
		p.close(4002, "expired")
		f.accept()
		if got := fmt.Sprint(used); got != "[old new]" {
			t.Errorf("tokens used: %v", got)
		}
	})
	for name, end := range map[string]func(f *fake, p *peer){
		"4002": func(f *fake, p *peer) { p.close(4002, "expired") },
		"401":  func(f *fake, p *peer) { f.set(func(f *fake) { f.refuse = 401 }); p.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				s := follow(t, c.Subscribe("x"))
				outcome := propose(t, c, proposalOf("x"))
				end(f, p)
				err := s.expectError(ErrUnauthorized)
				if !errors.Is(err, ErrClosed) {
					t.Errorf("error %v, want ErrClosed in it", err)
				}
				if got := <-outcome; !errors.Is(got.err, ErrUnauthorized) {
					t.Errorf("propose: %v", got.err)
				}
				if got := c.Status(); got.State != Closed || !errors.Is(got.Err, ErrUnauthorized) {
					t.Errorf("status %+v", got)
				}
				if _, err := c.Ping(context.Background()); !errors.Is(err, ErrUnauthorized) {
					t.Errorf("ping: %v", err)
				}
				follow(t, c.Subscribe("y")).expectError(ErrUnauthorized)
			})
		})
	}
}

func TestUnknownShareDataEndsOnlyItsSubscription(t *testing.T) {
	report := func(e wire.Error) *wire.Error { e.Code = codes.UnknownShareData; return &e }
	tests := []struct {
		name  string
		frame *wire.Error
	}{
		{"named", report(wire.Error{Message: "gone", ShareDataID: "y"})},
		{"published server: in the text", report(wire.Error{Message: "shareDataId y not found"})},
		{"no frame", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				x, y, z := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y")), follow(t, c.Subscribe("z"))
				p.expect(subscribeTo("x", ""), subscribeTo("y", ""), subscribeTo("z", ""))
				p.send(snapshot("e", 5, 0))
				if test.frame != nil {
					p.send(test.frame)
				}
				start := time.Now()
				p.close(4003, "unknown")
				x.expect("state e-5")
				y.expectError(ErrUnknownShareData)

				p = f.accept()
				if got := time.Since(start); got != 0 {
					t.Errorf("reconnected after %v", got)
				}
				p.expect(subscribeTo("x", "e-5"), subscribeTo("z", ""))
				p.quiet()
				z.quiet()
				if c.Subscribe("y") == nil {
					t.Fatal("cannot subscribe again")
				}
				p.expect(subscribeTo("y", ""))
			})
		})
	}
}

func TestInvalidMessageFailsWhatCausedIt(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		guilty := propose(t, c, proposalOf("x"))
		p.expectPropose()
		p.send(&wire.Error{Code: codes.InvalidMessage, Message: "proof: Required"})
		p.close(4004, "invalid message")
		var refused *ProposalError
		if got := <-guilty; !errors.As(got.err, &refused) || refused.Code != "invalid-message" || refused.Message != "proof: Required" {
			t.Fatalf("got %+v", got)
		}
		p = f.accept()
		p.quiet()
	})
	t.Run("named among several", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			good, guilty := propose(t, c, proposalOf("x")), propose(t, c, proposalOf("y"))
			first, second := p.expectPropose(), p.expectPropose()
			p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no", CorrelationID: second.CorrelationID})
			p.close(4004, "invalid message")
			if got := <-guilty; got.err == nil || !strings.Contains(got.err.Error(), "no") {
				t.Fatalf("got %+v", got)
			}
			p = f.accept()
			again := p.expectPropose()
			if again.IdempotencyKey != first.IdempotencyKey {
				t.Errorf("sent again %s", again.AppendTo(nil))
			}
			p.quiet()
			p.send(acceptedAs(again, "e-1"))
			if got := <-good; got.err != nil {
				t.Error(got.err)
			}
		})
	})
	t.Run("not known which of several: they are sent one at a time", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			one, two, three := propose(t, c, proposalOf("x")), propose(t, c, proposalOf("y")), propose(t, c, proposalOf("z"))
			p.expect(proposeFrame("x"), proposeFrame("y"), proposeFrame("z"))
			p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no"})
			p.close(4004, "invalid message")

			p = f.accept()
			first := p.expectPropose()
			p.quiet()
			later := propose(t, c, proposalOf("later"))
			p.send(acceptedAs(first, "e-1"))
			if got := <-one; got.err != nil {
				t.Error(got.err)
			}
			p.expect(proposeFrame("y"))
			p.quiet()
			p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no"})
			p.close(4004, "invalid message")
			var refused *ProposalError
			if got := <-two; !errors.As(got.err, &refused) || refused.Message != "no" {
				t.Errorf("got %+v", got)
			}

			p = f.accept()
			p.send(acceptedAs(p.expectPropose(), "e-2"))
			p.send(acceptedAs(p.expectPropose(), "e-3"))
			for want, outcome := range map[string]<-chan proposed{"e-2": three, "e-3": later} {
				if got := <-outcome; got.err != nil || got.result.TransactionID != want {
					t.Errorf("got %+v, want %s", got, want)
				}
			}
			propose(t, c, proposalOf("a"))
			propose(t, c, proposalOf("b"))
			p.expect(proposeFrame("a"), proposeFrame("b"))
		})
	})
	t.Run("nothing can have caused it", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			x, y := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
			p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
			p.send(&wire.Error{Code: codes.UnauthorizedSubscribe, Message: "another complaint", ShareDataID: "y"})
			p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.InvalidMessage, Message: "no"})
			p.close(4004, "invalid message")
			y.expectError(ErrUnauthorized)
			x.expect("state e-5")
			var complaint *ServerError
			if err := x.expectError(ErrClosed); !errors.As(err, &complaint) || complaint.Message != "no" {
				t.Errorf("error %v", err)
			}
			if got := c.Status(); got.State != Closed {
				t.Errorf("status %+v", got)
			}
		})
	})
}

func TestMessageTooBigFailsTheLargest(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		small := propose(t, c, proposalOf("x"))
		large := propose(t, c, Proposal{ShareDataID: "x", FunctionID: "add", Data: strings.Repeat("x", 1000)})
		p.expectPropose()
		p.expectPropose()
		p.close(1009, "too big")
		var refused *ProposalError
		if got := <-large; !errors.As(got.err, &refused) || !strings.Contains(refused.Message, "1009") {
			t.Fatalf("got %+v", got)
		}
		p = f.accept()
		p.send(acceptedAs(p.expectPropose(), "e-1"))
		if got := <-small; got.err != nil {
			t.Error(got.err)
		}
	})
}

func TestUnknownFramesAndCodesDoNoHarm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		s := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		p.sendText(`{"v":1,"type":"presence","who":"me"}`)
		p.send(
			&wire.Error{Code: "maintenance", Message: "at noon"},
			&wire.Pong{CorrelationID: "nobody's"},
			&wire.ProposalResult{CorrelationID: "nobody's", Accepted: true},
			&wire.State{ShareDataID: "nobody's", CurrentState: json.RawMessage("1")},
			&wire.Transaction{ShareDataID: "nobody's", TransactionID: "t"},
			snapshot("e", 5, 0),
		)
		s.expect("state e-5")
		var complaint *ServerError
		if got := c.Status(); got.State != Open || !errors.As(got.Err, &complaint) || complaint.Code != "maintenance" {
			t.Errorf("status %+v", got)
		}
	})
}

func TestAnAnswerOfTheWrongTypeIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		outcome := propose(t, c, proposalOf("x"))
		sent := p.expectPropose()
		p.send(&wire.Pong{CorrelationID: sent.CorrelationID}, acceptedAs(sent, "e-1"))
		if got := <-outcome; got.err != nil || got.result.TransactionID != "e-1" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestTooLongAMessageIsNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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

// mute is a connection that cannot be written to from some point on.
type mute struct {
	net.Conn
	failing atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.failing.Load() {
		return 0, errors.New("fake: broken pipe")
	}
	return m.Conn.Write(p)
}

func TestAFailedWriteDoesNotHideWhyTheServerClosed(t *testing.T) {
	for name, closes := range map[string]bool{"it says so": true, "it says nothing": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				var line *mute
				f.set(func(f *fake) {
					f.wrapNear = func(conn net.Conn) net.Conn { line = &mute{Conn: conn}; return line }
				})
				c, p := f.connect(nil)
				line.failing.Store(true)
				start := time.Now()
				outcome := propose(t, c, proposalOf("x"))
				want := graceAfterWriteError + 500*ms
				if closes {
					p.close(4001, "fell behind")
					want = 0
				}
				p = f.accept()
				if got := time.Since(start); got != want {
					t.Errorf("reconnected after %v, want %v", got, want)
				}
				p.send(acceptedAs(p.expectPropose(), "e-1"))
				if got := <-outcome; got.err != nil {
					t.Error(got.err)
				}
			})
		})
	}
}

// deaf is a connection whose end at the server stops reading and writing at
// some point, as if the network had swallowed it; before that it may stall.
type deaf struct {
	net.Conn
	mu    sync.Mutex
	gone  bool
	stall time.Duration // before the next read
}

func (d *deaf) stallFor(stall time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stall = stall
}

func (d *deaf) vanish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
}

func (d *deaf) swallowed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

func (d *deaf) Read(p []byte) (int, error) {
	for {
		d.mu.Lock()
		stall := d.stall
		d.stall = 0
		d.mu.Unlock()
		time.Sleep(stall)
		n, err := d.Conn.Read(p)
		if err != nil || !d.swallowed() {
			return n, err
		}
	}
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.swallowed() {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

func TestAVanishedServerIsNoticedWithinTwoHeartbeats(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		var line *deaf
		f.set(func(f *fake) {
			f.wrap = func(conn net.Conn) net.Conn { line = &deaf{Conn: conn}; return line }
		})
		c, p := f.connect(nil)
		time.Sleep(10 * time.Minute)
		if got := c.Status().State; got != Open || len(f.attempts()) != 1 {
			t.Fatalf("%v after %d attempts, though every ping was answered", got, len(f.attempts()))
		}
		start := time.Now()
		line.vanish()
		outcome := propose(t, c, proposalOf("x"))
		f.accept()
		if got := time.Since(start); got > 61*time.Second {
			t.Errorf("noticed after %v", got)
		}
		if got := <-outcome; !errors.Is(got.err, ErrTimeout) {
			t.Errorf("got %+v", got)
		}
		p.cut()
	})
}

func TestHeartbeatCanBeSwitchedOff(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		var line *deaf
		f.set(func(f *fake) {
			f.wrap = func(conn net.Conn) net.Conn { line = &deaf{Conn: conn}; return line }
		})
		c, p := f.connect(&Options{HeartbeatInterval: -1})
		line.vanish()
		time.Sleep(time.Hour)
		if got := c.Status().State; got != Open {
			t.Errorf("%v without heartbeats", got)
		}
		p.cut()
	})
}

func TestReconnectingCanBeSwitchedOff(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
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
