package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// Attempts that fail are repeated, closer and closer together, until the token
// expires; the one that succeeds keeps the connection.
func TestRenewal_Repeated(t *testing.T) {
	for name, test := range map[string]struct {
		answer   func(call int) (string, error) // of calls that fail
		sent     bool                           // the client sends the token
		reply    func(*wire.Authenticate) wire.ServerMessage
		rejected string // from RejectedToken, then
	}{
		"source fails":  {answer: func(int) (string, error) { return "", errors.New("issuer is down") }},
		"same token":    {answer: func(int) (string, error) { return "t1", nil }},
		"empty token":   {answer: func(int) (string, error) { return "", nil }},
		"token too big": {answer: func(int) (string, error) { return strings.Repeat("x", maxTokenLength+1), nil }},
		"not UTF-8":     {answer: func(int) (string, error) { return "\xff", nil }},
		"invalid token": {answer: func(int) (string, error) { return "bad", nil }, sent: true,
			reply: func(a *wire.Authenticate) wire.ServerMessage { return invalidToken(a) }, rejected: "bad"},
		"unavailable": {answer: func(int) (string, error) { return "bad", nil }, sent: true,
			reply: func(a *wire.Authenticate) wire.ServerMessage {
				return &wire.Error{Code: codes.Unavailable, CorrelationID: a.CorrelationID}
			}},
		"reply lost": {answer: func(int) (string, error) { return "bad", nil }, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				const failures = 2
				s := source{answer: func(_ context.Context, call int) (string, error) {
					if call > 1 && call <= 1+failures {
						return test.answer(call)
					}
					return fmt.Sprint("t", call), nil
				}}
				c, p := f.connectExpiring(time.Hour, Options{Token: s.token})
				for range failures {
					if !test.sent {
						break
					}
					a := p.expectAuthenticate(time.Hour, "bad")
					if test.reply != nil {
						p.send(test.reply(a))
					}
				}
				a := p.expectAuthenticate(time.Hour, fmt.Sprint("t", failures+2))
				p.send(authenticated(a, time.Hour))
				calls := s.made()
				if len(calls) != failures+2 {
					t.Fatalf("%d calls of the source", len(calls))
				}
				for i, call := range calls[2:] {
					if call.rejected != test.rejected || call.expiring != "t1" {
						t.Errorf("call %d: %+v", i+3, call)
					}
					before := calls[i+1].expiresAt.Sub(calls[i+1].at)
					if left := call.expiresAt.Sub(call.at); left <= 0 || left > before*2/5 {
						t.Errorf("call %d: %v left, %v at the call before", i+3, left, before)
					}
				}
				if got := c.Status(); got.State != Open || strings.Contains(fmt.Sprint(got.Err), "bad") {
					t.Errorf("%+v", got)
				}
				if test.rejected != "" && !errors.Is(c.Status().Err, ErrUnauthorized) {
					t.Errorf("status %v", c.Status().Err)
				}
			})
		})
	}
}

// Where no attempt succeeds, their number is bounded, and the client goes on over
// a new connection.
func TestRenewal_Expired(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		s := source{answer: func(_ context.Context, call int) (string, error) { return "cached", nil }}
		c, p := f.connectExpiring(24*time.Hour, Options{Token: s.token})
		time.Sleep(24 * time.Hour)
		p.quiet()
		if n := len(s.made()); n < 8 || n > 30 {
			t.Errorf("%d calls of the source in a day", n)
		}
		p.close(4002, "expired")
		f.accept()
		calls := s.made()
		if last := calls[len(calls)-1]; last.rejected != "cached" || last.expiring != "" {
			t.Errorf("asked with %+v", last)
		}
		if got := c.Status().State; got != Open {
			t.Errorf("%v", got)
		}
	})
}

// A server cannot make the client renew its token in a tight loop.
func TestRenewal_TinyLifetimes(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var s source
		_, p := f.connectExpiring(0, Options{Token: s.token})
		time.Sleep(time.Minute)
		p.quiet()
		p.cut()
		p = f.accept()
		p.sendExpiry(150 * ms)
		start := time.Now()
		for n := 3; n < 13; n++ {
			p.send(authenticated(p.expectAuthenticate(time.Second, fmt.Sprint("t", n)), 150*ms))
		}
		if got := time.Since(start); got < 10*minRenewalDelay {
			t.Errorf("10 renewals in %v", got)
		}
	})
}

func TestRenewal_HugeLifetime(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.renews = true })
		_, p := f.connect(&Options{Token: new(source).token, HeartbeatInterval: -1})
		p.send(&wire.Pong{CorrelationID: p.receive().(*wire.Ping).CorrelationID, TokenExpiresInMs: 1<<53 - 1, HasTokenExpiresIn: true})
		time.Sleep(longestExpiry / 2)
		p.quiet()
	})
}

// A permanent error ends the renewals of the connection. The client stops when the
// connection has ended and the source returns it again.
func TestRenewal_Permanent(t *testing.T) {
	errRevoked := errors.New("revoked")
	testWithFake(t, func(t *testing.T, f *fake) {
		s := source{answer: func(_ context.Context, call int) (string, error) {
			if call == 1 {
				return "t1", nil
			}
			return "", Permanent(errRevoked)
		}}
		c, p := f.connectExpiring(time.Hour, Options{Token: s.token})
		events := follow(t, c.Subscribe("x"))
		p.expect(subscribeTo("x", ""))
		time.Sleep(time.Hour)
		if n := len(s.made()); n != 2 || c.Status().State != Open {
			t.Errorf("%d calls, %v", n, c.Status())
		}
		p.close(4002, "expired")
		<-p.ended
		synctest.Wait()
		tokenStops(t, c, events, propose(t, c, proposalOf("x")), errRevoked)
	})
}

// The server does not answer now when the token expires: the client asks again.
func TestRenewal_ExpiryPingRefused(t *testing.T) {
	for retryAfter, want := range map[time.Duration]time.Duration{0: minExpiryPingDelay, time.Minute: time.Minute} {
		testWithFake(t, func(t *testing.T, f *fake) {
			f.set(func(f *fake) { f.renews = true })
			_, p := f.connect(&Options{Token: new(source).token})
			ping := p.receive().(*wire.Ping)
			p.send(&wire.Error{Code: codes.RateLimited, CorrelationID: ping.CorrelationID, RetryAfterMs: uint64(retryAfter.Milliseconds())})
			p.quiet()
			start := time.Now()
			again := p.receiveWithin(time.Hour).(*wire.Ping)
			if got := time.Since(start); got != want || !again.TokenExpiry {
				t.Errorf("sent %+v after %v, want %v", again, got, want)
			}
			p.send(&wire.Error{Code: codes.InternalError, CorrelationID: again.CorrelationID})
			time.Sleep(time.Hour)
			p.quiet()
		})
	}
}

func TestRenewal_WaitsAsServerAsks(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var s source
		_, p := f.connectExpiring(time.Hour, Options{Token: s.token})
		a := p.expectAuthenticate(time.Hour, "t2")
		pause := (time.Until(s.made()[1].expiresAt) * 9 / 10).Truncate(ms) // more than the client would wait by itself
		p.send(&wire.Error{Code: codes.RateLimited, CorrelationID: a.CorrelationID, RetryAfterMs: uint64(pause.Milliseconds())})
		start := time.Now()
		p.expectAuthenticate(time.Hour, "t3")
		if got := time.Since(start); got < pause {
			t.Errorf("sent the next one after %v", got)
		}
	})
}

// A server that has just got new keys may accept a token that it refused before.
func TestRenewal_AcceptedAfterRefusal(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		s := source{answer: func(_ context.Context, call int) (string, error) { return fmt.Sprint("t", min(call, 2)), nil }}
		_, p := f.connectExpiring(time.Hour, Options{Token: s.token})
		p.send(invalidToken(p.expectAuthenticate(time.Hour, "t2")))
		p.send(authenticated(p.expectAuthenticate(time.Hour, "t2"), time.Hour))
		p.quiet()
		p.cut()
		f.accept()
		if calls := s.made(); len(calls) != 4 || calls[2].rejected != "t2" || calls[3].rejected != "" {
			t.Errorf("calls %+v", calls)
		}
	})
}

// The reply to an attempt that was given up changes nothing.
func TestRenewal_LateReply(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		_, p := f.connectExpiring(time.Hour, Options{Token: new(source).token})
		a := p.expectAuthenticate(time.Hour, "t2")
		time.Sleep(16 * time.Second)
		p.send(authenticated(a, time.Hour), authenticated(a, time.Hour))
		b := p.expectAuthenticate(time.Hour, "t3")
		p.send(authenticated(a, time.Second), authenticated(b, time.Hour))
		time.Sleep(30 * time.Minute)
		p.quiet()
		p.expectAuthenticate(time.Hour, "t4")
	})
}

// Close code 4002 is about the token of the connection, not about one that the
// server has not seen.
func TestRenewal_4002RejectsConnectionToken(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var s source
		_, p := f.connectExpiring(time.Hour, Options{Token: s.token})
		p.send(authenticated(p.expectAuthenticate(time.Hour, "t2"), time.Hour))
		p.expectAuthenticate(time.Hour, "t3")
		p.close(4002, "expired")
		f.accept()
		if calls := s.made(); len(calls) != 4 || calls[3].rejected != "t2" {
			t.Errorf("calls %+v", calls)
		}
	})
}

// A token that is too big for the server's messages ends the connection. No call is
// failed for it, and the next connection brings the token.
func TestRenewal_MessageTooBig(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		s := source{answer: func(_ context.Context, call int) (string, error) {
			return strings.Repeat("x", min(1000*(call-1), 1000)), nil
		}}
		c, p := f.connectExpiring(time.Hour, Options{Token: s.token, RequestTimeout: -1})
		outcome := propose(t, c, proposalOf("x"))
		p.expectPropose()
		p.expectAuthenticate(time.Hour, strings.Repeat("x", 1000))
		p.close(1009, "too big")
		p = f.accept()
		p.expect(&wire.Ping{TokenExpiry: true})
		p.send(acceptedAs(p.expectPropose(), "e-1"))
		if got := <-outcome; got.err != nil {
			t.Error(got.err)
		}
	})
}

// The source is never called twice at a time, and a renewal ends with its
// connection.
func TestRenewal_ConnectionLost(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var ended error
		s := source{answer: func(ctx context.Context, call int) (string, error) {
			if call == 2 {
				<-ctx.Done()
				ended = ctx.Err()
				time.Sleep(time.Second) // It is slow to end.
			}
			return fmt.Sprint("t", call), nil
		}}
		_, p := f.connectExpiring(time.Hour, Options{Token: s.token, ConnectTimeout: -1})
		for len(s.made()) < 2 {
			time.Sleep(time.Minute)
		}
		p.cut()
		p = f.accept()
		if !errors.Is(ended, context.Canceled) {
			t.Errorf("the renewal ended with %v", ended)
		}
		p.sendExpiry(time.Hour)
		p.expectAuthenticate(time.Hour, "t4") // unanswered
		p.cut()
		f.accept().sendExpiry(time.Hour)
		if calls := s.made(); len(calls) != 5 || calls[4].rejected != "" || calls[4].expiring != "" {
			t.Errorf("calls %+v", calls)
		}
	})
}

// The source has until ConnectTimeout, or until the token expires.
func TestRenewal_SourceTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, -1} {
		testWithFake(t, func(t *testing.T, f *fake) {
			var deadline time.Time
			s := source{answer: func(ctx context.Context, call int) (string, error) {
				if call == 2 {
					deadline, _ = ctx.Deadline()
					<-ctx.Done()
				}
				return fmt.Sprint("t", call), ctx.Err()
			}}
			f.connectExpiring(time.Hour, Options{Token: s.token, ConnectTimeout: timeout})
			time.Sleep(2 * time.Hour)
			call := s.made()[1]
			want := call.at.Add(15 * time.Second)
			if timeout < 0 {
				want = call.expiresAt
			}
			if !deadline.Equal(want) {
				t.Errorf("the source had %v, want %v", deadline.Sub(call.at), want.Sub(call.at))
			}
		})
	}
}

func TestRenewal_Close(t *testing.T) {
	for name, answers := range map[string]bool{"source busy": false, "authenticate unanswered": true, "waiting": true} {
		t.Run(name, func(t *testing.T) {
			testWithFake(t, func(t *testing.T, f *fake) {
				s := source{answer: func(ctx context.Context, call int) (string, error) {
					if call > 1 && !answers {
						<-ctx.Done()
						return "", ctx.Err()
					}
					return fmt.Sprint("t", call), nil
				}}
				c, _ := f.connectExpiring(time.Hour, Options{Token: s.token, ConnectTimeout: -1})
				for name != "waiting" && len(s.made()) < 2 {
					time.Sleep(time.Minute)
				}
				start := time.Now()
				c.Close()
				if got := time.Since(start); got > closeTimeout {
					t.Errorf("Close took %v", got)
				}
				calls := len(s.made())
				time.Sleep(10 * time.Hour)
				if n := len(s.made()); n != calls {
					t.Errorf("%d calls of the source after Close", n-calls)
				}
			})
		})
	}
}

// Close and the end of a connection come at any moment of a renewal.
func TestRenewal_Races(t *testing.T) {
	for i := range 100 {
		testWithFake(t, func(t *testing.T, f *fake) {
			var s source
			c, p := f.connectExpiring(200*ms, Options{Token: s.token})
			var end sync.WaitGroup
			end.Go(func() {
				time.Sleep(time.Duration(120+i) * ms)
				if i%2 == 0 {
					c.Close()
				} else {
					p.cut()
				}
			})
			select {
			case frame, ok := <-p.frames:
				if ok {
					time.Sleep(time.Duration(i%5) * ms)
					p.send(authenticated(frame.(*wire.Authenticate), 200*ms))
				}
			case <-time.After(300 * ms):
			}
			end.Wait()
			if i%2 == 1 {
				f.accept().sendExpiry(time.Hour)
			}
		})
	}
}
