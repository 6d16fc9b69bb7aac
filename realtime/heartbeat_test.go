package realtime_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
)

// deadPeer upgrades a connection and neither reads nor writes any more.
func deadPeer(ts *testServer) {
	ts.Helper()
	conn, err := ts.client.Transport.(*http.Transport).DialContext(ts.Context(), "tcp", "in.memory:80")
	if err != nil {
		ts.Fatal(err)
	}
	upgrade(ts, conn)
}

func TestHeartbeat_DeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer()})
		before := time.Now()
		deadPeer(ts)
		if c := r.wantClosed(t, 1006); !strings.Contains(c.Reason, "no ping") {
			t.Errorf("got %+v", c)
		}
		if took := time.Since(before); took > time.Minute {
			t.Errorf("cut after %v, want at most two intervals of 30 s", took)
		}
	})
}

func TestHeartbeat_QuietPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer(), IdleTimeout: -1})
		p := ts.dial()
		ctx := p.conn.CloseRead(context.Background()) // answers pings
		time.Sleep(time.Hour)
		if err := ctx.Err(); err != nil || len(r.closed) != 0 {
			t.Errorf("cut: %v", err)
		}
	})
}

func TestHeartbeat_PeerPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer()})
		p := ts.dial()
		p.conn.CloseRead(context.Background())
		for range 100 {
			if err := p.conn.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestHeartbeat_Off(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer(), Heartbeat: -1, IdleTimeout: -1})
		deadPeer(ts)
		time.Sleep(24 * time.Hour)
		if len(r.closed) != 0 {
			t.Errorf("cut: %+v", <-r.closed)
		}
	})
}

// A peer that reads a large state slowly is not dead, although no ping is written
// meanwhile.
func TestHeartbeat_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer(), Heartbeat: 10 * time.Second})
		const size = 1 << 20
		if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", size)}, add); err != nil {
			t.Fatal(err)
		}
		p := ts.dial()
		p.subscribe("c", "")
		_, message, err := p.conn.Reader(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for part := make([]byte, 32<<10); ; time.Sleep(4 * time.Second) {
			n, err := message.Read(part)
			read += n
			if err != nil {
				break
			}
		}
		if read < size || len(r.closed) != 0 {
			t.Errorf("cut after %d bytes", read)
		}
		p.wantPong("alive")
	})
}

func TestHeartbeat_StuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{Observer: r.observer(), Heartbeat: 10 * time.Second})
		if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 1<<20)}, add); err != nil {
			t.Fatal(err)
		}
		p := ts.dial()
		p.subscribe("c", "")
		synctest.Wait()
		before := time.Now()
		r.wantClosed(t, 1006)
		if took := time.Since(before); took > 20*time.Second {
			t.Errorf("cut after %v, want at most 20 s", took)
		}
	})
}

// The library would cut the connection if it could not write a pong within 5 s,
// which is no fault of a peer that is being sent a large frame.
func TestPing_DuringLargeFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, nil)
		if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 1<<20)}, add); err != nil {
			t.Fatal(err)
		}
		p := ts.dial()
		p.subscribe("c", "")
		synctest.Wait()
		ponged := make(chan error, 1)
		go func() { ponged <- p.conn.Ping(t.Context()) }()
		time.Sleep(20 * time.Second)
		want[*wire.State](p)
		p.conn.CloseRead(context.Background())
		if err := <-ponged; err != nil {
			t.Error(err)
		}
	})
}
