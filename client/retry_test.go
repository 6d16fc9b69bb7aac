package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

var temporaryCodes = []string{codes.Unavailable, codes.Busy, codes.OutcomeUnknown, codes.ShuttingDown, codes.RateLimited}

// refusedAs is a reply without a verdict.
func refusedAs(p *wire.Propose, code string) *wire.ProposalResult {
	return &wire.ProposalResult{CorrelationID: p.CorrelationID, Code: code, Error: "not now"}
}

// expectAgain receives a propose that repeats an earlier one, and returns how long
// that took.
func (p *peer) expectAgain(first *wire.Propose) time.Duration {
	p.t.Helper()
	start := time.Now()
	again := p.receiveWithin(time.Minute)
	if !reflect.DeepEqual(again, first) {
		p.t.Fatalf("sent %s, want again %s", again.AppendTo(nil), first.AppendTo(nil))
	}
	return time.Since(start)
}

// wantRefused checks that it is known that nothing happened, and returns the error.
func wantRefused(t *testing.T, err error, code string) *ProposalError {
	t.Helper()
	var refused *ProposalError
	if !errors.As(err, &refused) || refused.Code != code || errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("error %v, want a ProposalError with code %q", err, code)
	}
	return refused
}

// wantUnknown checks that the outcome is unknown, which must not look like a
// refusal, and returns the error.
func wantUnknown(t *testing.T, err error) *OutcomeUnknownError {
	t.Helper()
	var unknown *OutcomeUnknownError
	var refused *ProposalError
	if !errors.As(err, &unknown) || !errors.Is(err, ErrOutcomeUnknown) || errors.As(err, &refused) {
		t.Fatalf("error %v, want an OutcomeUnknownError", err)
	}
	return unknown
}

func TestRetry_EachTemporaryCode(t *testing.T) {
	for _, code := range temporaryCodes {
		for _, asErrorFrame := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/errorFrame=%v", code, asErrorFrame), func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) {
					c, p := f.connect(nil)
					outcome := propose(t, c, proposalOf("x"))
					first := p.expectPropose()
					var waits []time.Duration
					for range 8 {
						if asErrorFrame {
							p.send(&wire.Error{Code: code, Message: "not now", CorrelationID: first.CorrelationID})
						} else {
							p.send(refusedAs(first, code))
						}
						waits = append(waits, p.expectAgain(first))
					}
					if got, want := fmt.Sprint(waits), "[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s]"; got != want {
						t.Errorf("delays %v, want %v", got, want)
					}
					p.send(acceptedAs(first, "e-1"))
					if got := <-outcome; got.err != nil || !got.result.Accepted {
						t.Errorf("got %+v", got)
					}
					if got := c.Status(); got.Err != nil {
						t.Errorf("status %+v", got)
					}
				})
			})
		}
	}
}

func TestRetry_After(t *testing.T) {
	for _, jitter := range []float64{-1, 0.5} {
		testWithFake(t, func(t *testing.T, f *fake) {
			c, p := f.connect(&Options{Backoff: Backoff{Jitter: jitter}})
			different := make(map[time.Duration]bool)
			for range 10 {
				propose(t, c, proposalOf("x"))
				first := p.expectPropose()
				refusal := refusedAs(first, codes.Busy)
				refusal.RetryAfterMs = 3000
				p.send(refusal)
				waited := p.expectAgain(first)
				p.send(acceptedAs(first, "e-1"))
				different[waited] = true
				if waited < 3*time.Second || waited > time.Duration(3000*(1+max(0, jitter)))*ms {
					t.Errorf("jitter %v: sent again after %v", jitter, waited)
				}
			}
			if (len(different) > 1) != (jitter > 0) {
				t.Errorf("jitter %v: %d different delays", jitter, len(different))
			}
		})
	}
}

// Every other code is final, and known to have changed nothing.
func TestRetry_FinalCodes(t *testing.T) {
	for _, code := range []string{codes.InvalidInput, codes.InvalidKey, codes.UnknownFunction, codes.UnknownShareData, codes.ProposingDisabled,
		codes.Unauthorized, codes.FunctionFailed, codes.TimedOut, codes.InternalError, "my-own", ""} {
		t.Run(code, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				c, p := f.connect(nil)
				outcome := propose(t, c, proposalOf("x"))
				first := p.expectPropose()
				p.send(&wire.ProposalResult{CorrelationID: first.CorrelationID, Code: code, Error: "no",
					Details: json.RawMessage(`{"pointer":"/by"}`), RetryAfterMs: 1500})
				want := ProposalError{ShareDataID: "x", FunctionID: "add", IdempotencyKey: first.IdempotencyKey, Code: code, Message: "no",
					Details: json.RawMessage(`{"pointer":"/by"}`), RetryAfter: 1500 * ms}
				if code == "" {
					want.Code = CodeUnspecified
				}
				refused := wantRefused(t, (<-outcome).err, want.Code)
				if !reflect.DeepEqual(*refused, want) || refused.Temporary() {
					t.Errorf("\n got %+v\nwant %+v", *refused, want)
				}
				time.Sleep(time.Minute)
				p.quiet()
			})
		})
	}
}

func TestRetry_HugeRetryAfter(t *testing.T) {
	if got := retryAfter(1 << 63); got != 24*time.Hour {
		t.Errorf("got %v", got)
	}
}

// A call that waits for its next attempt takes the connection then current, and is
// not part of what a reconnect sends again.
func TestRetry_AcrossConnections(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		outcome := propose(t, c, proposalOf("x"))
		first := p.expectPropose()
		refusal := refusedAs(first, codes.ShuttingDown)
		refusal.RetryAfterMs = 2000
		p.send(refusal)
		p.close(1001, "bye")
		p = f.accept()
		p.quiet()
		time.Sleep(1500 * ms)
		p.expectAgain(first)

		f.set(func(f *fake) { f.down = true })
		p.send(refusedAs(first, codes.Busy))
		synctest.Wait()
		p.cut()
		time.Sleep(time.Second) // It is due while there is no connection.
		f.set(func(f *fake) { f.down = false })
		p = f.accept()
		p.expectAgain(first)
		p.quiet()
		p.send(acceptedAs(first, "e-1"))
		if got := <-outcome; got.err != nil || !got.result.Accepted {
			t.Errorf("got %+v", got)
		}
	})
}

func TestRetry_LeavesOthersAlone(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(&Options{MaxInFlight: 2, QueueSize: 3})
		var sent []*wire.Propose
		for range 4 { // Each pair makes room for the next.
			propose(t, c, proposalOf("busy"))
			frame := p.expectPropose()
			refusal := refusedAs(frame, codes.Busy)
			refusal.RetryAfterMs = 10000
			p.send(refusal)
			sent = append(sent, frame)
			time.Sleep(ms)
		}
		other := propose(t, c, proposalOf("other"))
		frame := p.expectPropose()
		if _, err := c.Ping(context.Background()); !errors.Is(err, ErrQueueFull) {
			t.Errorf("error %v with five open calls, want ErrQueueFull", err)
		}
		p.send(acceptedAs(frame, "e-1"))
		if got := <-other; got.err != nil {
			t.Error(got.err)
		}
		p.expectAgain(sent[0])
		p.expectAgain(sent[1])
		p.quiet()
		p.send(acceptedAs(sent[0], "e-2"))
		p.expectAgain(sent[2])
	})
}

// What the error says when the time is up, or the client is closed, in each state
// of a call.
func TestPropose_EndsInEachState(t *testing.T) {
	const never, refused, unknown = "never sent", "refused", "unknown"
	busyThen := func(code string) func(f *fake, p *peer) {
		return func(f *fake, p *peer) {
			reply := refusedAs(p.expectPropose(), code)
			reply.RetryAfterMs = 3600_000
			p.send(reply)
		}
	}
	loseNetwork := func(f *fake, p *peer) {
		f.set(func(f *fake) { f.down = true })
		p.cut()
		time.Sleep(time.Second) // An attempt to reconnect fails.
	}
	tests := []struct {
		name    string
		prepare func(f *fake, p *peer) // before the call
		then    func(f *fake, p *peer) // after it
		want    string
		code    string
		offline bool

		noTimeout bool
	}{
		{name: "no connection", prepare: loseNetwork, want: never, offline: true},
		{name: "others in flight", prepare: func(f *fake, p *peer) {
			go f.client.Ping(context.Background())
			p.expect(&wire.Ping{})
		}, want: never, noTimeout: true}, // The ping would time out at the same moment.
		{name: "in flight", then: func(f *fake, p *peer) { p.expectPropose() }, want: unknown},
		{name: "lost in flight", then: func(f *fake, p *peer) { p.expectPropose(); loseNetwork(f, p) }, want: unknown, offline: true},
		{name: "not written", prepare: func(f *fake, p *peer) {
			f.lastLine.stallFor(25 * time.Second)
			f.client.Subscribe("x") // The read under way takes it.
			p.expect(subscribeTo("x", ""))
			f.client.Subscribe("y") // It blocks the writer.
		}, want: never},
		{name: "busy", then: busyThen(codes.Busy), want: refused, code: codes.Busy},
		{name: "unavailable", then: busyThen(codes.Unavailable), want: refused, code: codes.Unavailable},
		{name: "outcome-unknown", then: busyThen(codes.OutcomeUnknown), want: unknown},
		{name: "busy, due while offline", then: func(f *fake, p *peer) {
			p.send(refusedAs(p.expectPropose(), codes.Busy))
			synctest.Wait()
			loseNetwork(f, p)
		}, want: refused, code: codes.Busy, offline: true},
		{name: "busy, then in flight", then: func(f *fake, p *peer) {
			p.send(refusedAs(p.expectPropose(), codes.Busy))
			time.Sleep(100 * ms)
			p.expectPropose()
		}, want: unknown},
		{name: "outcome-unknown, then busy", then: func(f *fake, p *peer) {
			p.send(refusedAs(p.expectPropose(), codes.OutcomeUnknown))
			time.Sleep(100 * ms)
			busyThen(codes.Busy)(f, p)
		}, want: unknown},
		{name: "lost in flight, then busy", then: func(f *fake, p *peer) {
			p.expectPropose()
			p.cut()
			busyThen(codes.Busy)(f, f.accept())
		}, want: unknown},
	}
	ends := []struct {
		name string
		end  func(c *Client, cancel func())
		want error
	}{
		{"timeout", func(*Client, func()) { time.Sleep(20 * time.Second) }, ErrTimeout},
		{"context", func(_ *Client, cancel func()) { cancel() }, context.Canceled},
		{"close", func(c *Client, _ func()) { c.Close() }, ErrClosed},
	}
	for _, test := range tests {
		for _, end := range ends {
			if end.want == ErrTimeout && test.noTimeout {
				continue
			}
			t.Run(test.name+"/"+end.name, func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) {
					c, p := f.connect(&Options{MaxInFlight: 1, RequestTimeout: 20 * time.Second, HeartbeatInterval: -1})
					synctest.Wait()
					if test.prepare != nil {
						test.prepare(f, p)
						synctest.Wait()
					}
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					proposal := proposalOf("x")
					proposal.IdempotencyKey = "mine"
					outcome := proposeWithin(t, ctx, c, proposal)
					if test.then != nil {
						test.then(f, p)
						synctest.Wait()
					}
					end.end(c, cancel)
					err := (<-outcome).err
					if !errors.Is(err, end.want) || end.want == ErrTimeout && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("error %v, want %v in it", err, end.want)
					}
					if test.offline && end.want != ErrClosed && !errors.Is(err, errDown) {
						t.Errorf("error %v does not say why there is no connection", err)
					}
					switch test.want {
					case unknown:
						got := wantUnknown(t, err)
						if got.ShareDataID != "x" || got.FunctionID != "add" || got.IdempotencyKey != "mine" || !strings.Contains(err.Error(), "mine") {
							t.Errorf("got %+v", got)
						}
					case refused:
						if got := wantRefused(t, err, test.code); !got.Temporary() || got.IdempotencyKey != "mine" {
							t.Errorf("got %+v", got)
						}
					case never:
						var refusal *ProposalError
						if errors.Is(err, ErrOutcomeUnknown) || errors.As(err, &refusal) || !strings.Contains(err.Error(), never) {
							t.Errorf("error %v, want never sent", err)
						}
					}
					if test.want != never {
						return
					}
					time.Sleep(30 * time.Second) // The stalled connection goes on.
					for len(p.frames) > 0 {
						if frame, sent := (<-p.frames).(*wire.Propose); sent {
							t.Errorf("sent %s, though its error says never", frame.AppendTo(nil))
						}
					}
				})
			})
		}
	}
}

// After an attempt that may have taken effect, only a verdict is certain.
func TestPropose_ReplyAfterLostConnection(t *testing.T) {
	tests := []struct {
		name    string
		reply   wire.ProposalResult
		verdict bool
	}{
		{"accepted", wire.ProposalResult{Accepted: true, TransactionID: "e-1", Duplicate: true}, true},
		{"rejected", wire.ProposalResult{TransactionID: "e-1", Code: "below-zero"}, true},
		{"unauthorized", wire.ProposalResult{Code: codes.Unauthorized, Error: "no"}, false},
		{"unknown function", wire.ProposalResult{Code: codes.UnknownFunction, Error: "no"}, false},
		{"invalid message", wire.ProposalResult{Code: codes.InvalidMessage, Error: "no"}, false},
		{"no code", wire.ProposalResult{Error: "no"}, false},
	}
	for _, test := range tests {
		for _, before := range []string{"lost connection", codes.OutcomeUnknown} {
			t.Run(test.name+"/"+before, func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) {
					c, p := f.connect(nil)
					outcome := propose(t, c, proposalOf("x"))
					first := p.expectPropose()
					if before == codes.OutcomeUnknown {
						p.send(refusedAs(first, codes.OutcomeUnknown))
						time.Sleep(100 * ms)
					} else {
						p.cut()
						p = f.accept()
					}
					p.expectAgain(first)
					test.reply.CorrelationID = first.CorrelationID
					p.send(&test.reply)
					got := <-outcome
					if test.verdict {
						want := Result{Accepted: test.reply.Accepted, Code: test.reply.Code, TransactionID: "e-1", Duplicate: test.reply.Duplicate}
						if got.err != nil || !reflect.DeepEqual(got.result, want) {
							t.Errorf("got %+v, want %+v", got, want)
						}
						return
					}
					var last *ServerError
					if unknown := wantUnknown(t, got.err); unknown.IdempotencyKey != first.IdempotencyKey ||
						!errors.As(got.err, &last) || last.Message != "no" {
						t.Errorf("got %v", got.err)
					}
				})
			})
		}
	}
}

// An unparsed frame is proof that no attempt was understood, but only for the
// frame that the server names, or that was alone.
func TestInvalidMessage_UnnamedAmongOthers(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		c, p := f.connect(nil)
		c.Subscribe("x")
		outcome := propose(t, c, proposalOf("x"))
		p.expect(subscribeTo("x", ""))
		first := p.expectPropose()
		p.send(&wire.Error{Code: codes.InvalidMessage, Message: "no"})
		p.close(4004, "invalid message")
		if got := wantUnknown(t, (<-outcome).err); got.IdempotencyKey != first.IdempotencyKey {
			t.Errorf("got %+v", got)
		}
	})
}
