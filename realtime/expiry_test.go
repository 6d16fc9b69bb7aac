package realtime_test

import (
	"context"
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

// addEvery adds to "c" at intervals of fake time until the test ends.
func (ts *testServer) addEvery(interval time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			ts.manager.Propose(ctx, sharedata.Proposal{ShareDataID: "c", FunctionID: "add", Data: step{By: 1}})
			time.Sleep(interval)
		}
	}()
	ts.Cleanup(func() {
		cancel()
		<-done
	})
}

// readUntilClose counts the transactions up to the close frame, and returns when
// the last one came.
func (p *peer) readUntilClose(code websocket.StatusCode) (transactions int, last time.Time) {
	p.Helper()
	for {
		message, err := p.next()
		if err != nil {
			if got := websocket.CloseStatus(err); got != code {
				p.Fatalf("want close %d, got %v", code, err)
			}
			return transactions, last
		}
		if _, ok := message.(*wire.Transaction); ok {
			transactions++
			last = time.Now()
		}
	}
}

func TestExpiry_NoFrameAfter(t *testing.T) {
	for _, leeway := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var tokens callers
			tokens.issue("short", "ada", 2*time.Second)
			tokens.issue("long", "ada", time.Hour)
			end := time.Now().Add(2*time.Second + leeway)
			ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, ExpiryLeeway: leeway})
			ts.create("c")
			p, other := ts.dialToken("short"), ts.dialToken("long")
			p.join("c", "")
			other.join("c", "")
			go other.readOn()
			ts.addEvery(time.Millisecond)
			n, last := p.readUntilClose(codes.CloseUnauthorized)
			if n < 1800 || last.After(end) || time.Since(end) > time.Second {
				t.Errorf("%d transactions, the last at %v and the end at %v; want until %v", n, last, time.Now(), end)
			}
			synctest.Wait()
			if open := ts.server.Connections(); len(open) != 1 || open[0].Caller.TokenID != "long" {
				t.Errorf("open: %+v", open)
			}
			ts.wantStatus("short", http.StatusUnauthorized)
		})
	}
}

func TestExpiry_ManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		var r recorder
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, Observer: r.observer()})
		begun := time.Now()
		const n = 50
		for i := range n {
			tokens.issue(fmt.Sprint(i), "ada", time.Duration(20+(i*37)%n)*time.Second)
			ts.dialToken(fmt.Sprint(i)).conn.CloseRead(context.Background())
		}
		for i := range n {
			r.wantClosed(t, codes.CloseUnauthorized)
			if got, want := time.Since(begun).Round(time.Second), time.Duration(20+i)*time.Second; got != want {
				t.Fatalf("connection %d ended after %v, want %v", i, got, want)
			}
		}
	})
}

// What is queued for a peer that does not read is dropped.
func TestExpiry_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("t", "ada", 10*time.Second)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, Heartbeat: -1})
		ts.create("c")
		p := ts.dialToken("t")
		p.join("c", "")
		synctest.Wait()
		ts.add("c", 1) // is being written when the rest is queued
		synctest.Wait()
		ts.add("c", 500)
		time.Sleep(20 * time.Second)
		if n, _ := p.readUntilClose(codes.CloseUnauthorized); n != 1 {
			t.Errorf("%d transactions after the expiry, want the one that was being written", n)
		}
	})
}

func TestExpiry_Replay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("t", "ada", 10*time.Second)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, ReplayWindow: 5000, MaxBufferedBytes: 8 << 10, Heartbeat: -1})
		since := ts.createMissed(900)
		p := ts.dialToken("t")
		p.join("c", since)
		p.wantReplayed(2, 50)
		time.Sleep(10 * time.Second)
		if n, _ := p.readUntilClose(codes.CloseUnauthorized); n > 200 {
			t.Errorf("%d replayed after the expiry, want no more than were being written", n)
		}
	})
}

func TestExpiry_DuringHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("t", "ada", 10*time.Second)
		var asked atomic.Int64
		var ended atomic.Bool
		ts := servePipes(t, &realtime.Options{
			Authenticate: tokens.authenticate,
			AuthorizeSubscribe: func(ctx context.Context, _ *sharedata.Caller, _ string) error {
				time.Sleep(11 * time.Second)
				ended.Store(ctx.Err() != nil)
				return nil
			},
			AuthorizePropose: func(context.Context, *sharedata.Caller, string, string) error {
				asked.Add(1)
				time.Sleep(20 * time.Second)
				return nil
			},
		})
		ts.create("c")
		ts.create("d")
		p := ts.dialToken("t")
		p.subscribe("c", "")
		for i := range 3 {
			p.propose("d", "add", `{"by":1}`, fmt.Sprint(i))
		}
		time.Sleep(15 * time.Second)
		if !ended.Load() {
			t.Error("the context of a hook goes on while the peer does not read")
		}
		p.wantClose(codes.CloseUnauthorized)
		time.Sleep(time.Minute)
		if at := ts.cursor("d"); at.Revision != 1 || asked.Load() != 1 {
			t.Errorf("%d proposals were authorized, and the history is at %v; want none evaluated", asked.Load(), at)
		}
		if err := ts.server.Shutdown(t.Context()); err != nil { // waits for proposals
			t.Error(err)
		}
	})
}

// Of the proposals that the manager has, the function that is running ends with its
// context, and those that wait for their turn are not evaluated.
func TestExpiry_ProposalsInManager(t *testing.T) {
	for name, shutOut := range map[string]func(ts *testServer){
		"expired": func(*testServer) {},
		"revoked": func(ts *testServer) { ts.revoke(realtime.Revocation{Subject: "ada"}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tokens callers
				tokens.issue("t", "ada", time.Second)
				ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate})
				function, _ := blockingFunction("wait")
				ts.create("c", function)
				p := ts.dialToken("t")
				p.propose("c", "wait", `null`, "1")
				for i := range 50 {
					p.propose("c", "add", `{"by":1}`, fmt.Sprint("a", i))
				}
				synctest.Wait()
				shutOut(ts)
				p.wantClose(codes.CloseUnauthorized)
				synctest.Wait()
				if at := ts.cursor("c"); at.Revision != 1 {
					t.Errorf("the history is at %v", at)
				}
			})
		})
	}
}

// The clock was set forward, so that the timer is late.
func TestExpiry_LateTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens callers
		tokens.issue("t", "ada", 10*time.Second)
		ts := servePipes(t, &realtime.Options{Authenticate: tokens.authenticate, Heartbeat: -1})
		ts.create("c")
		p := ts.dialToken("t")
		p.wantPong("open")
		ts.server.StopExpiryTimer()
		time.Sleep(50 * time.Second)
		for i := range 50 {
			p.propose("c", "add", `{"by":1}`, fmt.Sprint(i))
		}
		p.wantClose(codes.CloseUnauthorized)
		synctest.Wait()
		if at := ts.cursor("c"); at.Revision != 1 {
			t.Errorf("the history is at %v", at)
		}
	})
}

func TestExpiry_AtUpgrade(t *testing.T) {
	var tokens callers
	tokens.issue("old", "ada", -time.Second)
	tokens.issue("ancient", "ada", -time.Hour)
	ts := serve(t, &realtime.Options{Authenticate: tokens.authenticate})
	ts.wantStatus("old", http.StatusUnauthorized)
	ts = serve(t, &realtime.Options{Authenticate: tokens.authenticate, ExpiryLeeway: time.Minute})
	ts.dialToken("old").wantPong("within the leeway")
	ts.wantStatus("ancient", http.StatusUnauthorized)
}
