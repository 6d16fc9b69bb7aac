package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

func TestAttributeClose(t *testing.T) {
	subscribes := []sentFrame{{shareDataID: "a", size: 50}, {shareDataID: "ab", size: 60}, {shareDataID: "c", size: 70}}
	mixed := append(subscribes[:len(subscribes):len(subscribes)], sentFrame{correlationID: "c-1", shareDataID: "a", size: 10}, sentFrame{correlationID: "c-2", shareDataID: "c", size: 900}, sentFrame{correlationID: "c-3", size: 5})
	tests := []struct {
		name   string
		code   int
		report wire.Error
		frames []sentFrame
		want   int
	}{
		{"4003 names it", 4003, wire.Error{ShareDataID: "c"}, subscribes, 2},
		{"4003 names what was not asked for", 4003, wire.Error{ShareDataID: "d"}, subscribes, -1},
		{"4003 has it in its text, the longer id wins", 4003, wire.Error{Message: "shareDataId ab not found"}, subscribes, 1},
		{"4003 says nothing: the oldest", 4003, wire.Error{Message: "?"}, subscribes, 0},
		{"4003 is never about a call", 4003, wire.Error{}, mixed[3:], -1},
		{"4003 with nothing asked", 4003, wire.Error{}, nil, -1},
		{"4004 names a call", 4004, wire.Error{CorrelationID: "c-2"}, mixed, 4},
		{"4004 names a ShareData", 4004, wire.Error{ShareDataID: "ab"}, mixed, 1},
		{"4004 with one sentFrame", 4004, wire.Error{}, mixed[1:2], 0},
		{"4004 with one proposal", 4004, wire.Error{}, mixed[:4], 3},
		{"4004 with one proposal and a ping", 4004, wire.Error{}, mixed[4:], 0},
		{"4004 with several proposals", 4004, wire.Error{}, mixed, several},
		{"4004 with several, none of them a proposal", 4004, wire.Error{}, subscribes, -1},
		{"4004 with none", 4004, wire.Error{}, nil, -1},
		{"1009: the largest", 1009, wire.Error{}, mixed, 4},
		{"1009 with none", 1009, wire.Error{}, nil, -1},
		{"other codes are about no frame", 1001, wire.Error{ShareDataID: "c"}, subscribes[:1], -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := attributeClose(test.code, test.report, test.frames); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestUnknownShareData_ConnectionClosed(t *testing.T) {
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
			testWithFake(t, func(t *testing.T, f *fake) {
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

func TestInvalidMessage(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		cause := propose(t, c, proposalOf("x"))
		p.expectPropose()
		p.send(&wire.Error{Code: codes.InvalidMessage, Message: "proof: Required"})
		p.close(4004, "invalid message")
		var refused *ProposalError
		if got := <-cause; !errors.As(got.err, &refused) || refused.Code != "invalid-message" || refused.Message != "proof: Required" {
			t.Fatalf("got %+v", got)
		}
		p = f.accept()
		p.quiet()
	})
	t.Run("named among several", func(t *testing.T) {
		testWithFake(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			good, cause := propose(t, c, proposalOf("x")), propose(t, c, proposalOf("y"))
			first, second := p.expectPropose(), p.expectPropose()
			p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no", CorrelationID: second.CorrelationID})
			p.close(4004, "invalid message")
			if got := <-cause; got.err == nil || !strings.Contains(got.err.Error(), "no") {
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
		testWithFake(t, func(t *testing.T, f *fake) {
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
		testWithFake(t, func(t *testing.T, f *fake) {
			c, p := f.connect(nil)
			x, y := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
			p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
			p.send(&wire.Error{Code: codes.UnauthorizedSubscribe, Message: "another serverError", ShareDataID: "y"})
			p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.InvalidMessage, Message: "no"})
			p.close(4004, "invalid message")
			y.expectError(ErrUnauthorized)
			x.expect("state e-5")
			var serverError *ServerError
			if err := x.expectError(ErrClosed); !errors.As(err, &serverError) || serverError.Message != "no" {
				t.Errorf("error %v", err)
			}
			if got := c.Status(); got.State != Closed {
				t.Errorf("status %+v", got)
			}
		})
	})
}

func TestMessageTooBig(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
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

// A server that keeps the connection refuses the subscribe only: nothing else is
// interrupted, and it does not explain a later close.
func TestUnknownShareData_ConnectionKept(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		x, y := follow(t, c.Subscribe("x")), follow(t, c.Subscribe("y"))
		outcome := propose(t, c, proposalOf("x"))
		p.expect(subscribeTo("x", ""), subscribeTo("y", ""))
		first := p.expectPropose()
		p.send(snapshot("e", 5, 0), &wire.Error{Code: codes.UnknownShareData, Message: "gone", ShareDataID: "y"}, transaction(6))
		y.expectError(ErrUnknownShareData)
		x.expect("state e-5", "tx e-6")
		p.quiet()
		if got := c.Status(); got.State != Open || len(f.attempts()) != 1 {
			t.Errorf("status %+v after %d attempts", got, len(f.attempts()))
		}
		p.close(1009, "too big")
		if got := wantRefused(t, (<-outcome).err, CodeMessageTooBig); got.IdempotencyKey != first.IdempotencyKey {
			t.Errorf("got %+v", got)
		}
		f.accept().expect(subscribeTo("x", "e-6"))
	})
}

// Of several proposals on a connection that was closed for an invalid message, one
// may have taken effect, also if it is not sent again.
func TestInvalidMessage_OthersTimeOut(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		one, two := propose(t, c, proposalOf("x")), propose(t, c, proposalOf("y"))
		p.expect(proposeFrame("x"), proposeFrame("y"))
		p.close(4004, "invalid message")
		p = f.accept()
		p.expect(proposeFrame("x"))
		p.quiet()
		for _, outcome := range []<-chan proposed{one, two} {
			if err := (<-outcome).err; !errors.Is(wantUnknown(t, err), ErrTimeout) {
				t.Errorf("error %v", err)
			}
		}
	})
}

func TestInvalidMessage_Ping(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		pinged := make(chan error, 1)
		go func() { _, err := c.Ping(context.Background()); pinged <- err }()
		p.expect(&wire.Ping{})
		p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no pings"})
		p.close(4004, "invalid message")
		var refusal *ServerError
		if err := <-pinged; !errors.As(err, &refusal) || refusal.Message != "no pings" {
			t.Errorf("error %v", err)
		}
		f.accept().quiet()
	})
}

// An earlier error about something else does not explain a close.
func TestUnknownShareData_AfterOtherError(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		y, z := follow(t, c.Subscribe("y")), follow(t, c.Subscribe("z"))
		p.expect(subscribeTo("y", ""), subscribeTo("z", ""))
		p.send(&wire.Error{Code: codes.UnauthorizedSubscribe, Message: "no", ShareDataID: "y"})
		y.expectError(ErrUnauthorized)
		p.close(4003, "unknown")
		z.expectError(ErrUnknownShareData)
		f.accept().quiet()
	})
}
