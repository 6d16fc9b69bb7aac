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

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// partitioned is the store of a process that can be cut off from the revocations
// alone, as from one node of a cluster.
type partitioned struct {
	*sharedstore.Process
	cut  atomic.Bool  // nothing can be read
	deaf atomic.Bool  // nothing is announced
	slow atomic.Int64 // how long a reply takes, a time.Duration
}

func (p *partitioned) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	if id == realtime.RevocationsID && p.cut.Load() {
		return replay.Head{}, fmt.Errorf("partition: %w", replay.ErrUnavailable)
	}
	defer func() {
		if id == realtime.RevocationsID {
			time.Sleep(time.Duration(p.slow.Load()))
		}
	}()
	return p.Process.Load(ctx, id, have)
}

func (p *partitioned) Follow(id string, notify func([]replay.Entry)) (stop func()) {
	return p.Process.Follow(id, func(entries []replay.Entry) {
		if id != realtime.RevocationsID || !p.cut.Load() && !p.deaf.Load() {
			notify(entries)
		}
	})
}

// processes are two servers on one store, of which b can be cut off. "c" is on
// both.
type processes struct {
	a, b   *testServer
	storeB *partitioned
	tokens *callers
	rules  policy
}

func serveProcesses(t *testing.T) *processes {
	t.Helper()
	shared := sharedstore.New()
	p := &processes{storeB: &partitioned{Process: shared.Process()}, tokens: &callers{}}
	options := &realtime.Options{
		Authenticate: p.tokens.authenticate, AuthorizeSubscribe: p.rules.authorize, Heartbeat: -1, MaxBufferedBytes: 64 << 20,
	}
	serve := func(store replay.Store) *testServer {
		ts := newTestServer(t, sharedata.Options{Store: store}, options)
		ts.listenOnPipes(ts.server)
		return ts
	}
	p.a, p.b = serve(shared.Process()), serve(p.storeB)
	p.a.create("c")
	p.b.ensure("c")
	for _, subject := range []string{"ada", "bob"} {
		p.tokens.issue(subject, subject, 0)
	}
	return p
}

// follower reads the live transactions of "c" in the background.
type follower struct {
	last   atomic.Uint64 // the newest revision
	resets atomic.Int64
	ended  chan error
}

func followC(p *peer) *follower {
	p.Helper()
	f := &follower{ended: make(chan error, 1)}
	p.unchecked = true
	f.last.Store(p.join("c", "").Revision)
	go func() {
		for {
			_, data, err := p.conn.Read(context.Background())
			if err != nil {
				f.ended <- err
				return
			}
			message, err := wire.DecodeServer(data, wire.Limits{})
			if err != nil {
				p.Error(err)
			}
			switch m := message.(type) {
			case *wire.Transaction:
				if m.Revision != f.last.Load()+1 {
					p.Errorf("transaction %d after %d", m.Revision, f.last.Load())
				}
				f.last.Store(m.Revision)
			case *wire.State:
				f.resets.Add(1)
				f.last.Store(m.Revision)
			}
		}
	}()
	return f
}

// wantShutOut checks that the connection has ended with 4002, and that nothing
// after a revision came.
func (f *follower) wantShutOut(t *testing.T, upTo uint64) {
	t.Helper()
	if last := f.last.Load(); last > upTo {
		t.Errorf("sent %d, which was committed after %d, when the revocation returned", last, upTo)
	}
	select {
	case err := <-f.ended:
		if websocket.CloseStatus(err) != codes.CloseUnauthorized {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(testTimeout):
		t.Error("the connection goes on")
	}
}

// A revoked subscriber of another process is sent nothing that is committed after
// Revoke has returned, whatever becomes of the notifications.
func TestRevoke_AcrossServers(t *testing.T) {
	for name, fault := range map[string]func(*partitioned){
		"none":             func(*partitioned) {},
		"not announced":    func(s *partitioned) { s.deaf.Store(true) },
		"cut off":          func(s *partitioned) { s.cut.Store(true) },
		"cut off entirely": func(s *partitioned) { s.SetReachable(false) },
	} {
		for _, first := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				p := serveProcesses(t)
				if !first { // the ShareData of revocations is there already
					p.a.revoke(realtime.Revocation{Subject: "nobody"})
				}
				ada, bob := followC(p.b.dialToken("ada")), followC(p.b.dialToken("bob"))
				p.a.addEvery(20 * time.Millisecond)
				time.Sleep(1234 * time.Millisecond)
				fault(p.storeB)
				p.a.revoke(realtime.Revocation{Subject: "ada"})
				returned := p.a.cursor("c").Revision
				time.Sleep(3 * time.Second)
				if name == "cut off" && bob.last.Load() > returned {
					t.Errorf("%s: bob was sent %d although a revocation may have come before", name, bob.last.Load())
				}
				healed := p.a.cursor("c").Revision
				p.storeB.cut.Store(false)
				p.storeB.SetReachable(true)
				time.Sleep(2 * time.Second)
				ada.wantShutOut(t, returned)
				if bob.last.Load() <= healed || bob.resets.Load() > 0 {
					t.Errorf("%s: bob was sent up to %d with %d resets, want more than %d", name, bob.last.Load(), bob.resets.Load(), healed)
				}
				p.b.wantStatus("ada", http.StatusUnauthorized)
				p.a.wantStatus("ada", http.StatusUnauthorized)
			})
		}
	}
}

// Where each confirmation takes longer than it is valid, the promise holds, and
// subscribers and proposers go on.
func TestRevoke_SlowConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		p.a.revoke(realtime.Revocation{Subject: "nobody"})
		ada, bob := followC(p.b.dialToken("ada")), followC(p.b.dialToken("bob"))
		carol := p.b.dialToken("bob")
		carol.join("c", "")
		p.storeB.slow.Store(int64(3 * time.Second))
		p.storeB.deaf.Store(true)
		p.a.addEvery(10 * time.Millisecond)
		time.Sleep(5123 * time.Millisecond)
		carol.propose("c", "add", `{"by":1}`, "own")
		p.a.revoke(realtime.Revocation{Subject: "ada"})
		returned := p.a.cursor("c").Revision
		time.Sleep(8 * time.Second)
		ada.wantShutOut(t, returned)
		if lag := p.a.cursor("c").Revision - bob.last.Load(); bob.last.Load() <= returned || lag > 700 || bob.resets.Load() > 0 {
			t.Errorf("bob was sent up to %d, %d behind, with %d resets", bob.last.Load(), lag, bob.resets.Load())
		}
		var seen uint64
		for range 5000 {
			switch m := must(carol).(type) {
			case *wire.Transaction:
				seen = m.Revision
				continue
			case *wire.ProposalResult:
				if at, err := replay.ParseCursor(m.TransactionID); err != nil || !m.Accepted || at.Revision > seen {
					t.Errorf("after %d: %+v", seen, m)
				}
			}
			return
		}
		t.Error("no result")
	})
}

// While commits are held, subscribers are shown what was there before, results
// wait for their effects, and nothing else is served.
func TestHeldCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		p.a.create("d")
		p.b.ensure("d")
		function, unblock := blockingFunction("wait")
		if _, err := p.b.manager.Ensure(t.Context(), "c", nil, add, function); err != nil {
			t.Fatal(err)
		}
		resident, visitor := p.b.dialToken("bob"), p.b.dialToken("bob")
		resident.join("c", "")
		resident.propose("c", "wait", `null`, "before")
		synctest.Wait()
		p.storeB.cut.Store(true)
		time.Sleep(2 * time.Second)
		p.a.add("c", 2)
		unblock()
		resident.wantPong("held")
		resident.propose("c", "add", `{"by":1}`, "meanwhile")
		if result := want[*wire.ProposalResult](resident); result.Code != codes.Unavailable {
			t.Errorf("got %+v", result)
		}
		if state := visitor.join("c", ""); state.Revision != 1 {
			t.Errorf("shown %+v", state)
		}
		visitor.join("d", "") // has not changed
		visitor.send(`{"v":1,"type":"unsubscribe","shareDataId":"d"}`)
		p.a.add("d", 1)
		visitor.wantPong("unsubscribed")
		synctest.Wait()
		visitor.subscribe("d", "")
		visitor.wantError(codes.Unavailable, "d")
		p.b.wantAccepted("ada")
		p.storeB.cut.Store(false)
		resident.wantTransactions(2, 4)
		if result := want[*wire.ProposalResult](resident); result.CorrelationID != "before" || !result.Accepted {
			t.Errorf("got %+v", result)
		}
		visitor.wantTransactions(2, 4)
		visitor.join("d", "")
		p.a.add("c", 1)
		resident.wantTransactions(5, 5)
		visitor.wantTransactions(5, 5)
	})
}

// A proposer without a subscription gets its result only when the commit is no longer
// held: a state that it is sent after the result must not be older.
func TestHeldCommits_ResultAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		function, unblock := blockingFunction("wait")
		if _, err := p.b.manager.Ensure(t.Context(), "c", nil, add, function); err != nil {
			t.Fatal(err)
		}
		resident, proposer := p.b.dialToken("bob"), p.b.dialToken("bob")
		resident.join("c", "")
		proposer.propose("c", "wait", `null`, "1")
		synctest.Wait()
		p.storeB.cut.Store(true)
		time.Sleep(2 * time.Second)
		p.a.add("c", 1)
		unblock()
		proposer.wantPong("no result yet")
		if state := proposer.join("c", ""); state.Revision != 1 {
			t.Errorf("shown %+v", state)
		}
		p.storeB.cut.Store(false)
		resident.wantTransactions(2, 3)
		proposer.wantTransactions(2, 3)
		if result := want[*wire.ProposalResult](proposer); result.CorrelationID != "1" || !result.Accepted {
			t.Errorf("got %+v", result)
		}
	})
}

func (ts *testServer) wantAccepted(token string) {
	ts.Helper()
	ts.dialToken(token).wantPong("accepted")
}

// More than may be held is replaced by the last state.
func TestHeldCommits_Bounded(t *testing.T) {
	for _, remove := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := serveProcesses(t)
			resident := p.b.dialToken("bob")
			resident.join("c", "")
			p.storeB.cut.Store(true)
			time.Sleep(2 * time.Second)
			p.a.add("c", 10_000)
			if remove {
				if err := p.a.manager.Remove(t.Context(), "c"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			p.storeB.cut.Store(false)
			var state *wire.State
			for {
				message := must(resident)
				if m, ok := message.(*wire.State); ok {
					state = m
				}
				if m, ok := message.(*wire.Transaction); ok && (m.Revision == 10_001 && !remove || state == nil) {
					break
				}
				if m, ok := message.(*wire.Lifecycle); ok && m.Event == wire.EventRemoved {
					return
				}
				if e, ok := message.(*wire.Error); ok && e.Code == codes.ReplayCursorNotFound && state.Revision == 10_001 {
					break
				}
			}
			if remove || state == nil {
				t.Errorf("removed %v, shown %+v", remove, state)
			}
		})
	}
}

// A server confirms only while it has connections.
func TestLease_Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		peer := p.b.dialToken("bob")
		time.Sleep(time.Minute)
		if n := p.storeB.Calls()["Load"]; n < 100 {
			t.Errorf("%d confirmations in a minute", n)
		}
		peer.conn.CloseNow()
		synctest.Wait()
		before := p.storeB.Calls()["Load"]
		time.Sleep(time.Hour)
		if n := p.storeB.Calls()["Load"] - before; n > 0 {
			t.Errorf("%d confirmations without connections", n)
		}
		p.b.dialToken("bob").wantPong("again")
	})
}

// A server that has never known the revocations lets nobody in.
func TestLease_NeverConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		p.a.revoke(realtime.Revocation{Subject: "ada"})
		p.storeB.cut.Store(true)
		p.b.wantStatus("bob", http.StatusServiceUnavailable)
		p.storeB.cut.Store(false)
		p.b.wantAccepted("bob")
		p.b.wantStatus("ada", http.StatusUnauthorized)
	})
}

// A caller who was revoked meanwhile is let in by a server that is cut off, is
// sent nothing new, and is closed with 4002 when the server knows.
func TestLease_CutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		followC(p.b.dialToken("bob"))
		p.storeB.cut.Store(true)
		p.a.revoke(realtime.Revocation{Subject: "ada"})
		returned := p.a.cursor("c").Revision
		p.a.add("c", 5)
		proposer := p.b.dialToken("ada")
		proposer.propose("c", "add", `{"by":1}`, "revoked")
		if result := want[*wire.ProposalResult](proposer); result.Code != codes.Unavailable {
			t.Errorf("got %+v", result)
		}
		ada := followC(p.b.dialToken("ada"))
		time.Sleep(time.Second)
		p.storeB.cut.Store(false)
		time.Sleep(time.Second)
		ada.wantShutOut(t, returned)
	})
}

func TestRevoke_StoreUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		p.storeB.SetReachable(false)
		if err := p.b.server.Revoke(t.Context(), realtime.Revocation{Subject: "ada"}); !errors.Is(err, sharedata.ErrStore) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := p.a.server.Revoke(ctx, realtime.Revocation{Subject: "ada"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("recorded, but not waited for: %v", err)
		}
	})
}

func TestReauthorize_AcrossServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serveProcesses(t)
		p.a.revoke(realtime.Revocation{Subject: "nobody"}) // otherwise b asks about all
		ada, bob := followC(p.b.dialToken("ada")), p.b.dialToken("bob")
		bob.join("c", "")
		local := p.a.dialToken("ada")
		local.join("c", "")
		p.rules.set(func(_ context.Context, caller *sharedata.Caller, _ string) error {
			time.Sleep(5 * time.Second)
			return refuseIf(caller.Subject == "ada")
		})
		before := p.rules.asked.Load()
		if err := p.a.server.Reauthorize(t.Context(), "ada", "eve"); err != nil {
			t.Fatal(err)
		}
		if n := p.rules.asked.Load() - before; n != 2 {
			t.Errorf("asked %d times, want once on each server", n)
		}
		last := ada.last.Load()
		p.a.add("c", 1)
		local.wantError(codes.UnauthorizedSubscribe, "c")
		local.wantPong("nothing came")
		bob.wantTransactions(2, 2)
		time.Sleep(10 * time.Second)
		if ada.last.Load() != last {
			t.Errorf("sent %d after %d", ada.last.Load(), last)
		}
	})
}
