package realtime_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
)

// countingConn counts what is received.
type countingConn struct {
	net.Conn
	received *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// Clients that negotiate compression are sent fewer bytes and the same messages, also in
// both directions and between small ones.
func TestCompression(t *testing.T) {
	ts := serve(t, &realtime.Options{CompressFrom: 512})
	if _, err := ts.manager.Create(t.Context(), "c", counter{Pad: strings.Repeat("some text ", 3000)}, add); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		mode     websocket.CompressionMode
		min, max int64
	}{
		{websocket.CompressionDisabled, 90_000, 95_000},
		{websocket.CompressionNoContextTakeover, 500, 3000},
		{websocket.CompressionContextTakeover, 500, 3000},
	} {
		var received atomic.Int64
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return countingConn{conn, &received}, err
		}
		conn, _, err := websocket.Dial(t.Context(), ts.url, &websocket.DialOptions{
			CompressionMode: test.mode, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}},
		})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(-1)
		p := &peer{T: t, conn: conn}
		since := p.join("c", "").Cursor
		p.propose("c", "add", `{"by":1,"pad":"`+strings.Repeat("x", 2000)+`"}`, "1")
		if m := want[*wire.Transaction](p); len(m.CurrentState) < 30_000 || m.TransactionID == since {
			t.Errorf("got %d bytes of state at %s", len(m.CurrentState), m.TransactionID)
		}
		want[*wire.ProposalResult](p)
		p.join("c", "")
		if got := received.Load(); got < test.min || got > test.max {
			t.Errorf("mode %v: %d bytes were received, want %d to %d", test.mode, got, test.min, test.max)
		}
		conn.CloseNow()
	}
}
