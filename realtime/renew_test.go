package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func (p *peer) authenticate(correlation, token string) {
	p.Helper()
	p.send(`{"v":1,"type":"authenticate","correlationId":"%s","token":"%s"}`, correlation, token)
}

// expiresIn asks when the connection expires.
func (p *peer) expiresIn() *wire.Pong {
	p.Helper()
	p.send(`{"v":1,"type":"ping","correlationId":"expiry","tokenExpiry":true}`)
	return want[*wire.Pong](p)
}

// wantRefused reads the error that answers an authenticate.
func (p *peer) wantRefused(correlation, code string) {
	p.Helper()
	if e := p.wantError(code, ""); e.CorrelationID != correlation {
		p.Fatalf("the error answers %q, want %q", e.CorrelationID, correlation)
	}
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("1", "ada", 10*time.Second)
		tokens.issue("2", "ada", 30*time.Second)
		tokens.issue("for ever", "ada", 0)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, AuthenticateToken: tokens.authenticateToken})
		ts.create("c")
		p := ts.dialToken("1")
		p.join("c", "")
		if pong := p.expiresIn(); !pong.HasTokenExpiresIn || pong.TokenExpiresInMs != 10_000 {
			t.Errorf("got %+v", pong)
		}
		p.wantPong("not asked for")
		p.authenticate("a", "2")
		if m := want[*wire.Authenticated](p); m.CorrelationID != "a" || !m.HasTokenExpiresIn || m.TokenExpiresInMs != 30_000 {
			t.Errorf("got %+v", m)
		}
		time.Sleep(20 * time.Second)
		ts.add("c", 1)
		p.wantTransactions(2, 2)
		if open := ts.server.Connections(); len(open) != 1 || open[0].Caller.TokenID != "2" {
			t.Errorf("open: %+v", open)
		}
		p.authenticate("b", "for ever")
		if m := want[*wire.Authenticated](p); m.HasTokenExpiresIn {
			t.Errorf("got %+v", m)
		}
		if pong := p.expiresIn(); pong.HasTokenExpiresIn {
			t.Errorf("got %+v", pong)
		}
		p.propose("c", "add", `{"by":1}`, "1")
		p.wantTransactions(3, 3)
		want[*wire.ProposalResult](p)
		p.conn.CloseRead(t.Context())
		time.Sleep(time.Hour)
		if open := ts.server.Connections(); len(open) != 1 {
			t.Errorf("open: %+v", open)
		}
	})
}

func TestRenew_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("1", "ada", 10*time.Second)
		tokens.issue("another's", "bob", time.Hour)
		tokens.issue("old", "ada", -time.Second)
		tokens.issue("revoked", "ada", time.Hour)
		var tokenOfOthers = &sharedata.Caller{Subject: "ada", Issuer: "others"}
		ts := servePipes(t, &realtime.Options{
			Authenticate: tokens.authenticate,
			AuthenticateToken: func(ctx context.Context, token string) (*sharedata.Caller, error) {
				switch token {
				case "panics":
					panic(token)
				case "nobody":
					return nil, nil
				case "slow":
					<-ctx.Done()
					return tokens.tokens["1"], nil
				case "of others":
					return tokenOfOthers, nil
				case "not now":
					return nil, fmt.Errorf("keys: %w", realtime.ErrUnavailable)
				}
				return tokens.authenticateToken(ctx, token)
			},
		})
		if err := ts.server.Revoke(t.Context(), realtime.Revocation{TokenID: "revoked"}); err != nil {
			t.Fatal(err)
		}
		p := ts.dialToken("1")
		for _, token := range []string{"another's", "of others", "old", "revoked", "panics", "nobody", "unknown"} {
			p.authenticate(token, token)
			p.wantRefused(token, codes.InvalidToken)
			p.authenticate("soon after", token)
			p.wantRefused("soon after", codes.RateLimited)
			time.Sleep(realtime.RenewInterval)
		}
		p.authenticate("not now", "not now")
		p.wantRefused("not now", codes.Unavailable)
		if pong := p.expiresIn(); pong.TokenExpiresInMs != 10_000-7*250 {
			t.Errorf("got %+v", pong)
		}
		time.Sleep(time.Second)
		p.authenticate("slow", "slow")
		synctest.Wait()
		p.authenticate("second", "1")
		p.wantRefused("second", codes.RateLimited)
		p.wantClose(codes.CloseUnauthorized)
	})
}

func TestRenew_SwitchedOff(t *testing.T) {
	var tokens callers
	tokens.issue("1", "ada", time.Hour)
	ts := serve(t, &realtime.Options{Authenticate: tokens.authenticate})
	p := ts.dialToken("1")
	if pong := p.expiresIn(); pong.HasTokenExpiresIn {
		t.Errorf("a pong says that tokens can be renewed: %+v", pong)
	}
	p.authenticate("1", "1")
	p.wantRefused("1", codes.InvalidToken)
}

// The hooks see the new caller, and are asked again about subscriptions.
func TestRenew_Reauthorizes(t *testing.T) {
	var tokens callers
	tokens.issue("1", "ada", time.Hour)
	tokens.issue("2", "ada", time.Hour)
	ts := serve(t, &realtime.Options{
		Authenticate: tokens.authenticate, AuthenticateToken: tokens.authenticateToken,
		AuthorizeSubscribe: func(ctx context.Context, caller *sharedata.Caller, id string) error {
			if caller != sharedata.CallerFrom(ctx) || id == "old" && caller.TokenID != "1" {
				return errors.New("no")
			}
			return nil
		},
		AuthorizePropose: func(ctx context.Context, caller *sharedata.Caller, _, _ string) error {
			if caller != sharedata.CallerFrom(ctx) || caller.TokenID != "2" {
				return errors.New("no")
			}
			return nil
		},
	})
	ts.create("old")
	ts.create("both")
	p := ts.dialToken("1")
	p.join("old", "")
	p.join("both", "")
	p.authenticate("a", "2")
	want[*wire.Authenticated](p)
	p.wantError(codes.UnauthorizedSubscribe, "old")
	ts.add("old", 1)
	ts.add("both", 1)
	p.wantTransactions(2, 2)
	p.propose("both", "add", `{"by":1}`, "1")
	p.wantTransactions(3, 3)
	if result := want[*wire.ProposalResult](p); !result.Accepted {
		t.Errorf("got %+v", result)
	}
	p.wantPong("nothing else came")
}

// A subscribe whose hook was asked about the present token is asked about the new
// one, too.
func TestRenew_SubscribeInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("1", "ada", time.Hour)
		tokens.issue("2", "ada", time.Hour)
		ts := servePipes(t, &realtime.Options{
			Authenticate: tokens.authenticate, AuthenticateToken: tokens.authenticateToken,
			AuthorizeSubscribe: func(_ context.Context, caller *sharedata.Caller, _ string) error {
				time.Sleep(5 * time.Second)
				return refuseIf(caller.TokenID == "2")
			},
		})
		ts.create("c")
		p := ts.dialToken("1")
		p.subscribe("c", "")
		synctest.Wait()
		p.authenticate("a", "2")
		want[*wire.Authenticated](p)
		p.wantError(codes.UnauthorizedSubscribe, "c")
		p.wantPong("no state came")
	})
}

// Renewals just before, at and after the expiry either succeed or come too late,
// and leave nothing behind.
func TestRenew_RacesWithExpiry(t *testing.T) {
	for i := range 40 {
		synctest.Test(t, func(t *testing.T) {
			var tokens callers
			tokens.issue("1", "ada", time.Second)
			tokens.issue("2", "ada", time.Hour)
			var renewed atomic.Bool
			ts := servePipes(t, &realtime.Options{
				Authenticate: tokens.authenticate,
				AuthenticateToken: func(ctx context.Context, token string) (*sharedata.Caller, error) {
					time.Sleep(time.Second - time.Duration(i/10)*time.Nanosecond)
					return tokens.authenticateToken(ctx, token)
				},
			})
			ts.create("c")
			p := ts.dialToken("1")
			p.join("c", "")
			p.authenticate("a", "2")
			closed := make(chan error)
			go func() {
				for {
					message, err := p.next()
					if err != nil {
						closed <- err
						return
					}
					if _, ok := message.(*wire.Authenticated); ok {
						renewed.Store(true)
					}
				}
			}()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			select {
			case err := <-closed:
				if i/10 > 1 || websocket.CloseStatus(err) != codes.CloseUnauthorized {
					t.Errorf("%d ns before the expiry: %v", i/10, err)
				}
			default:
				if open := ts.server.Connections(); !renewed.Load() || len(open) != 1 {
					t.Errorf("renewed %v, open %v", renewed.Load(), open)
				}
				p.conn.CloseNow()
				<-closed
			}
		})
	}
}

// Renewals, closes and disconnects at the same time leave no goroutine, no entry
// and no deadlock behind.
func TestRenew_RacesWithClose(t *testing.T) {
	var tokens callers
	for i := range 4 {
		tokens.issue(fmt.Sprint(i), "ada", time.Hour)
	}
	ts := serve(t, &realtime.Options{
		Authenticate: tokens.authenticate, AuthenticateToken: tokens.authenticateToken,
		AuthorizeSubscribe: func(context.Context, *sharedata.Caller, string) error { return nil },
	})
	ts.create("c")
	for round := range 30 {
		p := ts.dialToken("0")
		p.join("c", "")
		for i := range 4 {
			p.authenticate(fmt.Sprint(i), fmt.Sprint(i))
		}
		if round%2 == 0 {
			ts.server.Disconnect(realtime.BySubject("ada"), realtime.CloseFrame{})
		} else {
			p.conn.CloseNow()
		}
	}
	p := ts.dialToken("0")
	for i := range 4 {
		p.authenticate(fmt.Sprint(i), fmt.Sprint(i))
	}
	if err := ts.server.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}); err != nil {
		t.Fatal(err)
	}
	ts.wantStatus("1", http.StatusUnauthorized)
}
