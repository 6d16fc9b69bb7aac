package realtime_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, nil)
		slow, unblock := blockingFunction("slow")
		ts.create("c", slow)
		ts.create("d")
		idle, busy := ts.dial(), ts.dial()
		busy.join("d", "")
		busy.join("c", "")
		busy.propose("c", "slow", "null", "in flight")
		ts.add("d", 3)
		synctest.Wait()

		stopped := make(chan error, 1)
		go func() { stopped <- ts.server.Shutdown(t.Context()) }()
		idle.wantClose(codes.CloseGoingAway)
		if _, response, err := ts.tryDial(nil); err == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			t.Errorf("new connection: %v %v", response, err)
		}
		busy.propose("c", "add", `{"by":1}`, "too late")
		busy.subscribe("c", "")
		for range 3 {
			if m := want[*wire.Transaction](busy); m.ShareDataID != "d" {
				t.Errorf("got %s", m.AppendTo(nil))
			}
		}
		busy.wantPong("still there")
		time.Sleep(2 * time.Second)
		unblock()
		busy.wantTransactions(2, 2)
		if r := want[*wire.ProposalResult](busy); r.CorrelationID != "in flight" || !r.Accepted {
			t.Errorf("got %s", r.AppendTo(nil))
		}
		busy.wantClose(codes.CloseGoingAway)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if got := ts.cursor("c").Revision; got != 2 {
			t.Errorf("a proposal was evaluated that came too late: revision %d", got)
		}
	})
}

func TestShutdown_ContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer()})
		stuck, _ := blockingFunction("stuck")
		ts.create("c", stuck.WithTimeout(-1))
		ts.dial() // does not read, so it does not answer the close frame
		p := ts.dial()
		p.propose("c", "stuck", "null", "1")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		before := time.Now()
		if err := ts.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(before); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
		if len(r.closed) != 2 {
			t.Errorf("%d connections are closed, want 2", len(r.closed))
		}
	})
}

// Connections are closed at the pace of the option, and served as before until then; the
// pace is higher where the context leaves less time.
func TestShutdown_Pace(t *testing.T) {
	for _, test := range []struct {
		perSecond int
		timeout   time.Duration
		want      time.Duration // until the last of 20 connections is closed
	}{
		{10, time.Hour, 1900 * time.Millisecond},
		{100, time.Hour, 100 * time.Millisecond},
		{-1, time.Hour, 0},
		{10, 2 * time.Second, 900 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			var r recorder
			ts := servePipes(t, &realtime.Options{Observer: r.observer(), DrainPerSecond: test.perSecond, Heartbeat: -1})
			ts.create("c")
			closed := make(chan *peer, 20)
			for range 20 {
				p := ts.dial()
				p.join("c", "")
				go func() {
					for err := error(nil); err == nil; _, err = p.next() {
					}
					closed <- p
				}()
			}
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			defer cancel()
			before := time.Now()
			go ts.server.Shutdown(ctx)
			for range 20 {
				<-closed
			}
			if took := time.Since(before); took != test.want {
				t.Errorf("%d/s: the last was closed after %v, want %v", test.perSecond, took, test.want)
			}
		})
	}
}

func TestShutdown_DuringReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 4 << 10})
		since := ts.createMissed(100)
		p := dialPipe(ts)
		p.join("c", since)
		p.propose("c", "add", `{"by":1}`, "held")
		synctest.Wait()
		go ts.server.Shutdown(t.Context())
		synctest.Wait()
		resultSeen := false
		for {
			m, err := p.next()
			if err != nil {
				if websocket.CloseStatus(err) != codes.CloseGoingAway {
					t.Errorf("got %v", err)
				}
				break
			}
			if r, ok := m.(*wire.ProposalResult); ok && r.CorrelationID == "held" {
				resultSeen = true
			}
		}
		if !resultSeen {
			t.Error("the result was not sent")
		}
	})
}

func TestClose(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{Observer: r.observer()})
	stuck, _ := blockingFunction("stuck")
	ts.create("c", stuck)
	for range 5 {
		p := ts.dial()
		p.join("c", "")
		p.propose("c", "stuck", "null", "1")
	}
	if err := ts.server.Close(); err != nil {
		t.Error(err)
	}
	if len(r.closed) != 5 {
		t.Errorf("%d connections are closed, want 5", len(r.closed))
	}
	if _, response, err := ts.tryDial(nil); err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("new connection: %v %v", response, err)
	}
}

func TestClose_WaitsForHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := false
		ts := servePipes(t, &realtime.Options{
			AuthorizeSubscribe: func(ctx context.Context, _ *sharedata.Caller, _ string) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				asked = true
				return ctx.Err()
			},
		})
		p := ts.dial()
		p.subscribe("c", "")
		synctest.Wait()
		ts.server.Close()
		if !asked {
			t.Error("a hook was still at work")
		}
	})
}

func TestShutdown_Concurrent(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	for range 10 {
		p := ts.dial()
		p.join("c", "")
		go p.readOn()
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if i%2 == 0 {
				ts.server.Close()
			} else if err := ts.server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// No connection may outlive the server.
func TestShutdown_NewConnections(t *testing.T) {
	for i := range 18 {
		var r recorder
		ts := serve(t, &realtime.Options{Observer: r.observer()})
		ts.create("c")
		var all sync.WaitGroup
		attempts := make(chan struct{}, 20)
		for range 4 {
			all.Go(func() {
				for range 5 {
					attempts <- struct{}{}
					conn, _, err := ts.tryDial(nil)
					if err != nil {
						return
					}
					conn.Write(t.Context(), websocket.MessageText, []byte(`{"v":1,"type":"subscribe","shareDataId":"c"}`))
					go (&peer{T: t, conn: conn, unchecked: true}).readOn()
				}
			})
		}
		for range i {
			<-attempts
		}
		if i%2 == 0 {
			ts.server.Close()
		} else if err := ts.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		opened, closed := 0, 0
		for _, what := range r.inOrder() {
			switch what {
			case "opened":
				opened++
			case "closed":
				closed++
			}
		}
		if opened != closed {
			t.Errorf("%d connections opened, %d closed", opened, closed)
		}
	}
}
