package client

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// source is a source of tokens whose calls are recorded.
type source struct {
	mu     sync.Mutex
	calls  []sourceCall
	active int
	// answer returns the token for the call with the number, from 1. Default: a new
	// token each time, "t1", "t2", and so on.
	answer func(ctx context.Context, call int) (string, error)
}

type sourceCall struct {
	at        time.Time
	expiring  string // from ExpiringToken
	expiresAt time.Time
	rejected  string // from RejectedToken
}

func (s *source) token(ctx context.Context) (string, error) {
	call := sourceCall{at: time.Now()}
	call.expiring, call.expiresAt, _ = ExpiringToken(ctx)
	call.rejected, _ = RejectedToken(ctx)
	s.mu.Lock()
	s.calls = append(s.calls, call)
	n := len(s.calls)
	s.active++
	if s.active > 1 {
		panic("two calls at a time")
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active--
	}()
	if s.answer != nil {
		return s.answer(ctx, n)
	}
	return fmt.Sprint("t", n), nil
}

// made returns the calls so far.
func (s *source) made() []sourceCall {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sourceCall(nil), s.calls...)
}

// connectExpiring connects to a fake that renews tokens, with a token that expires
// after the time.
func (f *fake) connectExpiring(after time.Duration, options Options) (*Client, *peer) {
	f.t.Helper()
	f.set(func(f *fake) { f.renews = true })
	c, p := f.connect(&options)
	p.sendExpiry(after)
	return c, p
}

// sendExpiry answers the ping that asks for the token's expiry.
func (p *peer) sendExpiry(after time.Duration) {
	p.t.Helper()
	ping, ok := p.receive().(*wire.Ping)
	if !ok || !ping.TokenExpiry {
		p.t.Fatalf("the client sent %v, want a ping that asks for the expiry", ping)
	}
	p.send(&wire.Pong{CorrelationID: ping.CorrelationID, TokenExpiresInMs: uint64(after.Milliseconds()), HasTokenExpiresIn: true})
}

// expectAuthenticate receives an authenticate with the token.
func (p *peer) expectAuthenticate(within time.Duration, token string) *wire.Authenticate {
	p.t.Helper()
	frame := p.receiveWithin(within)
	if got, ok := frame.(*wire.Authenticate); ok && got.Token == token {
		return got
	}
	p.t.Fatalf("the client sent %s, want an authenticate with %s", frame.AppendTo(nil), token)
	return nil
}

func authenticated(a *wire.Authenticate, after time.Duration) *wire.Authenticated {
	return &wire.Authenticated{CorrelationID: a.CorrelationID, TokenExpiresInMs: uint64(after.Milliseconds()), HasTokenExpiresIn: true}
}

func invalidToken(a *wire.Authenticate) *wire.Error {
	return &wire.Error{Code: codes.InvalidToken, Message: "no good: " + a.Token, CorrelationID: a.CorrelationID}
}

func TestRenewalDelay(t *testing.T) {
	different := make(map[time.Duration]bool)
	for range 1000 {
		delay, ok := renewalDelay(time.Hour, 0)
		if !ok || delay < 36*time.Minute || delay > 48*time.Minute {
			t.Fatalf("%v of an hour", delay)
		}
		different[delay] = true
	}
	if len(different) < 500 {
		t.Errorf("only %d different delays of 1000", len(different))
	}
	for _, test := range []struct {
		left, atLeast time.Duration
		ok            bool
	}{{101 * ms, 0, true}, {100 * ms, 0, false}, {0, 0, false}, {-time.Hour, 0, false}, {time.Minute, 50 * time.Second, true}, {time.Minute, time.Minute, false}} {
		delay, ok := renewalDelay(test.left, test.atLeast)
		if ok != test.ok || delay < minRenewalDelay || delay < test.atLeast {
			t.Errorf("%+v: %v, %v", test, delay, ok)
		}
	}
}

func TestRenewal_ManyHours(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var s source
		c, p := f.connectExpiring(time.Hour, Options{Token: s.token, HeartbeatInterval: -1})
		expiresAt := time.Now().Add(time.Hour)
		for n := 2; n < 50; n++ {
			a := p.expectAuthenticate(time.Hour, fmt.Sprint("t", n))
			call := s.made()[n-1]
			if left := time.Until(expiresAt); left < 12*time.Minute || left > 24*time.Minute {
				t.Errorf("renewed when %v were left", left)
			}
			if want := fmt.Sprint("t", n-1); call.expiring != want || !call.expiresAt.Equal(expiresAt) || call.rejected != "" {
				t.Errorf("asked with %+v, want expiring %s at %v", call, want, expiresAt)
			}
			p.send(authenticated(a, time.Hour))
			expiresAt = time.Now().Add(time.Hour)
		}
		if got := c.Status(); got.State != Open || got.Err != nil || len(f.attempts()) != 1 {
			t.Errorf("%+v after %d attempts to connect", got, len(f.attempts()))
		}
		a := p.expectAuthenticate(time.Hour, "t50")
		p.send(&wire.Authenticated{CorrelationID: a.CorrelationID}) // a token that does not expire
		time.Sleep(1000 * time.Hour)
		p.quiet()
	})
}

// A server that does not renew tokens answers with a plain pong: then the client
// waits for close code 4002, as it does where Token is nil.
func TestRenewal_OldServer(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		var s source
		_, p := f.connect(&Options{Token: s.token})
		time.Sleep(24 * time.Hour)
		p.quiet()
		p.close(4002, "expired")
		f.accept()
		if calls := s.made(); len(calls) != 2 || calls[1].rejected != "t1" || calls[1].expiring != "" {
			t.Errorf("calls %+v", calls)
		}
	})
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.renews = true })
		_, p := f.connect(nil)
		p.quiet()
	})
}

func TestRenewal_ExpiryPingAfterSubscribes(t *testing.T) {
	testWithFake(t, func(t *testing.T, f *fake) {
		f.set(func(f *fake) { f.renews, f.down = true, true })
		c := f.start(&Options{Token: new(source).token})
		follow(t, c.Subscribe("x"))
		propose(t, c, proposalOf("x"))
		f.set(func(f *fake) { f.down = false })
		f.accept().expect(subscribeTo("x", ""), &wire.Ping{TokenExpiry: true}, proposeFrame("x"))
	})
}
