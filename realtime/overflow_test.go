package realtime_test

import (
	"context"
	"errors"
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
func withSmallBuffers(t *testing.T, options *realtime.Options) *world {
	w := newWorld(t, nil, options)
	h := httptest.NewUnstartedServer(w.server)
	h.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		return ctx
	}
	h.Start()
	t.Cleanup(h.Close)
	w.url, w.client = h.URL, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			}
			return conn, err
		},
	}}
	return w
}

func TestOneSlowReaderIsClosedWith4001AndNobodyElseNotices(t *testing.T) {
	var r recorder
	w := withSmallBuffers(t, &realtime.Options{MaxBufferedBytes: 64 << 10, Observer: r.observer()})
	if _, err := w.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 4<<10)}, add); err != nil {
		t.Fatal(err)
	}
	slow := w.dial()
	slow.join("c", "")

	const others, n = 20, 120
	var reading sync.WaitGroup
	arrived := make(chan struct{}, others)
	for range others {
		p := w.dial()
		p.trusting = true
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
	// At the pace of the others, so that it is the slow one that falls behind.
	for range n {
		w.add("c", 1)
		for range others {
			select {
			case <-arrived:
			case <-time.After(patience):
				t.Fatal("somebody is held up")
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
func overflowed(w *world) *peer {
	w.Helper()
	w.create("c")
	p := slowly(w)
	p.join("c", "")
	w.add("c", 30)
	synctest.Wait()
	return p
}

func TestPeerThatPausesAndReadsAgainSees4001(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Observer: r.observer()})
		p := overflowed(w)
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

func TestPeerThatNeverReadsAgainIsCutAfterOneHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Heartbeat: 7 * time.Second, Observer: r.observer()})
		overflowed(w)
		before := time.Now()
		r.wantClosed(t, codes.CloseFellBehind)
		if took := time.Since(before); took != 7*time.Second {
			t.Errorf("cut after %v, want 7 s", took)
		}
	})
}

func TestConnectionThatFellBehindIsOutOfAllChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10})
		w.create("quiet")
		p := slowly(w)
		p.join("quiet", "")
		w.create("c")
		p.join("c", "")
		w.add("c", 30)
		synctest.Wait()
		if n := w.server.Channels(); n != 0 {
			t.Errorf("%d channels are still held", n)
		}
		w.add("quiet", 1)
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

// Answers and replays count as well as live frames.
func TestPeerThatAsksAndDoesNotReadFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := overPipes(t, &realtime.Options{MaxBufferedBytes: 1 << 10, Observer: r.observer()})
		p := slowly(w)
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

func TestFrameLargerThanTheBoundIsSentAlone(t *testing.T) {
	w := overSockets(t, &realtime.Options{MaxBufferedBytes: 1 << 10})
	if _, err := w.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("x", 1<<20)}, add); err != nil {
		t.Fatal(err)
	}
	p := w.dial()
	p.join("c", "")
	for revision := uint64(2); revision < 5; revision++ {
		w.add("c", 1)
		p.wantTransactions(revision, revision)
	}
}

func TestEventObserverThatPanicsHarmsNothing(t *testing.T) {
	closed := make(chan struct{})
	w := overSockets(t, &realtime.Options{Observer: realtime.Observer{
		OnOpen: func(realtime.Connection) { panic("opened") },
		OnClose: func(realtime.CloseEvent) {
			defer close(closed)
			panic("closed")
		},
	}, Authenticate: func(*http.Request) (*sharedata.Caller, error) {
		return &sharedata.Caller{Subject: "ada"}, nil
	}})
	p := w.dial()
	p.wantPong("1")
	p.conn.Close(websocket.StatusNormalClosure, "bye")
	<-closed
}

func TestClosedEventNamesWhoBeganAndWhy(t *testing.T) {
	var r recorder
	w := overSockets(t, &realtime.Options{Observer: r.observer(), Authenticate: authenticateAs(&sharedata.Caller{Subject: "ada"})})
	p := w.dial()
	p.conn.Close(4567, "enough")
	if c := r.wantClosed(t, 4567); c.Reason != "enough" || c.Caller.Subject != "ada" || c.ID != 1 || c.RemoteAddr == "" {
		t.Errorf("got %+v", c)
	}
	p = w.dial()
	p.send(`nonsense`)
	p.wantError(codes.InvalidMessage, "")
	p.wantClose(codes.CloseInvalidMessage)
	if c := r.wantClosed(t, codes.CloseInvalidMessage); c.ID != 2 {
		t.Errorf("got %+v", c)
	}
	p = w.dial()
	p.conn.CloseNow()
	if c := r.wantClosed(t, 1006); c.Reason == "" {
		t.Errorf("got %+v", c)
	}
	p = w.dial()
	go w.server.Close()
	if _, err := p.next(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if c := r.wantClosed(t, 1006); c.Reason != "the server was closed" {
		t.Errorf("got %+v", c)
	}
}
