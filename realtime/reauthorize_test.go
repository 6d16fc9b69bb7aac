package realtime_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// policy is an AuthorizeSubscribe that can be changed.
type policy struct {
	answer atomic.Pointer[func(ctx context.Context, caller *sharedata.Caller, id string) error]
	asked  atomic.Int64
}

func (p *policy) set(answer func(ctx context.Context, caller *sharedata.Caller, id string) error) {
	p.answer.Store(&answer)
}

func (p *policy) authorize(ctx context.Context, caller *sharedata.Caller, id string) error {
	p.asked.Add(1)
	if answer := p.answer.Load(); answer != nil {
		return (*answer)(ctx, caller, id)
	}
	return nil
}

func refuseIf(refused bool) error {
	if refused {
		return errors.New("not any more")
	}
	return nil
}

func servePolicy(t *testing.T, tokens *callers, rules *policy) *testServer {
	ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, AuthorizeSubscribe: rules.authorize})
	ts.create("c")
	ts.create("d")
	for _, subject := range []string{"ada", "bob"} {
		tokens.issue(subject, subject, 0)
	}
	return ts
}

func TestReauthorize_SlowHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var rules policy
		ts := servePolicy(t, &tokens, &rules)
		ada, bob := ts.dialToken("ada"), ts.dialToken("bob")
		for _, p := range []*peer{ada, bob} {
			p.join("c", "")
			p.join("d", "")
		}
		rules.set(func(_ context.Context, caller *sharedata.Caller, id string) error {
			time.Sleep(10 * time.Second)
			return refuseIf(caller.Subject == "ada" && id == "c")
		})
		returned := make(chan error, 1)
		go func() { returned <- ts.server.Reauthorize(context.Background(), "ada") }()
		synctest.Wait()
		ts.add("c", 5)
		bob.wantTransactions(2, 6) // nobody asks about bob
		ada.propose("d", "add", `{"by":1}`, "effect first")
		ada.wantPong("held")
		if err := <-returned; err != nil {
			t.Error(err)
		}
		ts.add("c", 1)
		synctest.Wait()
		for range 3 {
			switch m := must(ada).(type) {
			case *wire.Error:
				if m.Code != codes.UnauthorizedSubscribe || m.ShareDataID != "c" {
					t.Errorf("got %+v", m)
				}
			case *wire.Transaction:
				if m.ShareDataID != "d" || m.Revision != 2 {
					t.Errorf("sent to a subscriber who is refused: %+v", m)
				}
			case *wire.ProposalResult:
			}
		}
		ada.wantPong("nothing else came")
		if n := rules.asked.Load(); n != 6 {
			t.Errorf("asked %d times, want 4 at the subscribes and 2 again", n)
		}
		ada.subscribe("c", "")
		ada.wantError(codes.UnauthorizedSubscribe, "c")
	})
}

func TestReauthorize_All(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var rules policy
		ts := servePolicy(t, &tokens, &rules)
		ada, bob := ts.dialToken("ada"), ts.dialToken("bob")
		ada.join("c", "")
		bob.join("c", "")
		rules.set(func(_ context.Context, caller *sharedata.Caller, id string) error {
			switch caller.Subject {
			case "ada":
				return realtime.ErrExpired
			default:
				panic("the hook panics")
			}
		})
		if err := ts.server.Reauthorize(t.Context()); err != nil {
			t.Fatal(err)
		}
		ts.add("c", 1)
		ada.wantClose(codes.CloseUnauthorized)
		bob.wantError(codes.UnauthorizedSubscribe, "c")
		bob.wantPong("the connection goes on")
	})
}

// Every server on a manager asks its hook.
func TestReauthorize_ServersOfOneManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var rules policy
		ts := servePolicy(t, &tokens, &rules)
		ada := ts.dialToken("ada")
		ada.join("c", "")
		other, err := realtime.NewServer(ts.manager, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		rules.set(func(context.Context, *sharedata.Caller, string) error { return errors.New("no") })
		if err := other.Reauthorize(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		ts.add("c", 1)
		ada.wantError(codes.UnauthorizedSubscribe, "c")
		ada.wantPong("nothing came")
	})
}

// A subscribe whose hook was asked before Reauthorize is asked about again.
func TestReauthorize_SubscribeInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var rules policy
		ts := servePolicy(t, &tokens, &rules)
		rules.set(func(context.Context, *sharedata.Caller, string) error {
			rules.set(func(context.Context, *sharedata.Caller, string) error { return errors.New("no") })
			time.Sleep(10 * time.Second)
			return nil
		})
		ada := ts.dialToken("ada")
		ada.subscribe("c", "")
		synctest.Wait()
		if err := ts.server.Reauthorize(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		ada.wantError(codes.UnauthorizedSubscribe, "c")
		ada.wantPong("no state came")
	})
}

// A subscription that is being replayed holds the live frames until the answer.
func TestReauthorize_DuringReplay(t *testing.T) {
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var tokens callers
			var rules policy
			ts := servePolicy(t, &tokens, &rules)
			since := ts.cursor("c").String()
			ts.add("c", 50)
			ada := ts.dialToken("ada")
			ada.subscribe("c", since)
			want[*wire.State](ada)
			ada.wantReplayed(2, 2)
			answer := make(chan bool)
			rules.set(func(context.Context, *sharedata.Caller, string) error { return refuseIf(<-answer) })
			go ts.server.Reauthorize(context.Background())
			synctest.Wait()
			ts.add("c", 2)
			ada.wantReplayed(3, 51)
			ada.wantPong("held")
			answer <- refused
			if refused {
				ada.wantError(codes.UnauthorizedSubscribe, "c")
			} else {
				ada.wantTransactions(52, 53)
			}
			ada.wantPong("nothing else came")
		})
	}
}

// A removal that is held is sent after the answer.
func TestReauthorize_Removal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var rules policy
		ts := servePolicy(t, &tokens, &rules)
		ada := ts.dialToken("ada")
		ada.join("c", "")
		rules.set(func(context.Context, *sharedata.Caller, string) error {
			time.Sleep(10 * time.Second)
			return nil
		})
		go ts.server.Reauthorize(context.Background())
		synctest.Wait()
		ts.add("c", 1)
		if err := ts.manager.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		ada.wantPong("held")
		ada.wantTransactions(2, 2)
		if m := want[*wire.Lifecycle](ada); m.Event != wire.EventRemoved {
			t.Errorf("got %+v", m)
		}
		synctest.Wait()
		if n := ts.server.Channels(); n != 0 {
			t.Errorf("%d channels", n)
		}
	})
}

// A subscription whose state has to wait for room is sent none if it is refused
// meanwhile.
func TestReauthorize_RefusedBeforeState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rules policy
		ts := servePipes(t, &realtime.Options{AuthorizeSubscribe: rules.authorize, Heartbeat: -1})
		ts.create("c")
		p := blockedBehind(ts, "")
		rules.set(func(_ context.Context, _ *sharedata.Caller, id string) error {
			time.Sleep(10 * time.Second)
			return refuseIf(id == "c")
		})
		go ts.server.Reauthorize(context.Background())
		synctest.Wait()
		ts.add("c", 1)
		want[*wire.State](p) // of another ShareData, before
		p.wantPong("no state came")
		p.wantError(codes.UnauthorizedSubscribe, "c")
	})
}
