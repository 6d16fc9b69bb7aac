package realtime_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

// withSmallBuffers serves on sockets whose kernel buffers hold little, so that
// a peer that does not read is noticed after a few hundred kilobytes.
func withSmallBuffers(t *testing.T, options *realtime.Options) *testServer {
	ts := newTestServer(t, sharedata.Options{}, options)
	h := httptest.NewUnstartedServer(ts.server)
	h.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		return ctx
	}
	h.Start()
	t.Cleanup(h.Close)
	ts.url, ts.client = h.URL, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			}
			return conn, err
		},
	}}
	return ts
}

func TestOverflow_SlowReader(t *testing.T) {
	var r recorder
	ts := withSmallBuffers(t, &realtime.Options{MaxBufferedBytes: 64 << 10, Observer: r.observer()})
	if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 4<<10)}, add); err != nil {
		t.Fatal(err)
	}
	slow := ts.dial()
	slow.join("c", "")

	const others, n = 20, 120
	var reading sync.WaitGroup
	arrived := make(chan struct{}, others)
	for range others {
		p := ts.dial()
		p.unchecked = true
		p.join("c", "")
		reading.Go(func() {
			for revision := uint64(2); revision <= n+1; revision++ {
				m, err := p.next()
				if err != nil {
					t.Error(err)
					break
				}
				if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != revision {
					t.Errorf("want %d, got %.200s", revision, m.AppendTo(nil))
					break
				}
				arrived <- struct{}{}
			}
		})
	}
	// At the pace of the others, so that only the slow one falls behind.
	for range n {
		ts.add("c", 1)
		for range others {
			select {
			case <-arrived:
			case <-time.After(testTimeout):
				t.Fatal("a reader is delayed")
			}
		}
	}
	reading.Wait()

	next := uint64(2)
	for {
		m, err := slow.next()
		if err != nil {
			if websocket.CloseStatus(err) != codes.CloseFellBehind {
				t.Fatalf("want close 4001, got %v", err)
			}
			break
		}
		if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != next {
			t.Fatalf("want %d, got %.200s", next, m.AppendTo(nil))
		}
		next++
	}
	if next > n {
		t.Error("the slow reader did not fall behind")
	}
	r.wantClosed(t, codes.CloseFellBehind)
	if over := r.overflows(); len(over) != 1 || over[0].ID != 1 || over[0].Limit != 64<<10 || over[0].Buffered <= 64<<10 {
		t.Errorf("overflow events: %+v", over)
	}
	if order := r.inOrder(); slices.Index(order, "overflow") > slices.Index(order, "closed") {
		t.Errorf("order of events: %v", order)
	}
}

// overflowed makes a peer on a pipe fall behind.
func overflowed(ts *testServer) *peer {
	ts.Helper()
	ts.create("c")
	p := dialPipe(ts)
	p.join("c", "")
	ts.add("c", 30)
	synctest.Wait()
	return p
}

func TestOverflow_ReaderPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Observer: r.observer()})
		p := overflowed(ts)
		if over := r.overflows(); len(over) != 1 {
			t.Fatalf("overflow events: %+v", over)
		}
		time.Sleep(25 * time.Second)
		// The frame that was being written comes whole, then the close frame.
		for next := uint64(2); ; next++ {
			m, err := p.next()
			if err != nil {
				if websocket.CloseStatus(err) != codes.CloseFellBehind {
					t.Errorf("want close 4001, got %v", err)
				}
				break
			}
			if tx, ok := m.(*wire.Transaction); !ok || tx.Revision != next {
				t.Fatalf("got %s", m.AppendTo(nil))
			}
		}
		r.wantClosed(t, codes.CloseFellBehind)
	})
}

func TestOverflow_ReaderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Heartbeat: 7 * time.Second, Observer: r.observer()})
		overflowed(ts)
		before := time.Now()
		r.wantClosed(t, codes.CloseFellBehind)
		if took := time.Since(before); took != 7*time.Second {
			t.Errorf("cut after %v, want 7 s", took)
		}
	})
}

func TestOverflow_EndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10})
		ts.create("quiet")
		p := dialPipe(ts)
		p.join("quiet", "")
		ts.create("c")
		p.join("c", "")
		ts.add("c", 30)
		synctest.Wait()
		if n := ts.server.Channels(); n != 0 {
			t.Errorf("%d channels are still held", n)
		}
		ts.add("quiet", 1)
		for {
			m, err := p.next()
			if err != nil {
				break
			}
			if tx, ok := m.(*wire.Transaction); ok && tx.ShareDataID == "quiet" {
				t.Errorf("got %s", m.AppendTo(nil))
			}
		}
	})
}

// Replies count as well as live frames.
func TestOverflow_Replies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Observer: r.observer()})
		p := dialPipe(ts)
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := p.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"v":1,"type":"ping","correlationId":"%d"}`, i))
			cancel()
			if err != nil {
				break
			}
		}
		r.wantClosed(t, codes.CloseFellBehind)
	})
}

func TestOverflow_LargeFrame(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxBufferedBytes: 1 << 10})
	if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 1<<20)}, add); err != nil {
		t.Fatal(err)
	}
	p := ts.dial()
	p.join("c", "")
	for revision := uint64(2); revision < 5; revision++ {
		ts.add("c", 1)
		p.wantTransactions(revision, revision)
	}
}
