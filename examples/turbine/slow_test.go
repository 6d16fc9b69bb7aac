package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/safe-go/safe/schemas/codes"
)

// startSmall runs a node of which the sockets hold little.
func startSmall(t *testing.T, args ...string) (addr string) {
	t.Helper()
	c, err := parse(append([]string{"-dev"}, args...), func(name string) (string, bool) { return "", name == urlVariable }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s.handler())
	h.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		return ctx
	}
	h.Start()
	t.Cleanup(func() {
		s.close()
		h.Close()
	})
	return h.Listener.Addr().String()
}

// flood publishes numbered publications, of which the network does not take all.
func flood(t *testing.T, addr string, n int) (last int) {
	t.Helper()
	pad := strings.Repeat("x", 20_000)
	for i := 1; i <= n; i++ {
		if status, answer := post(t, addr, fmt.Sprintf(`{"channel":"a","data":{"n":%d,"pad":"%s"}}`, i, pad), "x-api-key: devkey"); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	return n
}

// number is what flood numbers a publication with; skipped is how many are left out.
func (c *client) number() (n, skipped int) {
	c.Helper()
	var m struct {
		Method string
		Params struct {
			Data    struct{ N int }
			Skipped int
		}
	}
	if message := c.next(); json.Unmarshal([]byte(message), &m) != nil || m.Method != "publication" {
		c.Fatalf("got %.200s", message)
	}
	return m.Params.Data.N, m.Params.Skipped
}

func stats(t *testing.T, addr string) (s struct{ Closed, Skipped, Unforwarded int }) {
	t.Helper()
	_, answer := request(t, "GET", "http://"+addr+"/api/stats", "", "x-api-key: devkey")
	if err := json.Unmarshal([]byte(answer), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A session that does not read is closed when more than -max-waiting messages wait for it,
// and that is counted; another session is not disturbed. The session recovers.
func TestSlow_Close(t *testing.T) {
	addr := startSmall(t, "-max-waiting", "3")
	c := join(t, addr)
	c.subscribe("a", "", false)
	c.conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	flood(t, addr, 50)
	c.wantClose(codes.CloseFellBehind)
	if s := stats(t, addr); s.Closed != 1 || s.Skipped != 0 {
		t.Errorf("%+v", s)
	}
	c = join(t, addr)
	c.subscribe("a", "", false)
	seen := c.last
	flood(t, addr, 2)
	c = join(t, addr)
	c.subscribe("a", seen, true)
	for n := 1; n <= 2; n++ {
		if got, skipped := c.number(); got != n || skipped != 0 {
			t.Errorf("got %d and %d skipped, want %d", got, skipped, n)
		}
	}
}

// With -slow conflate it gets the latest publication, and how many were left out.
func TestSlow_Conflate(t *testing.T) {
	addr := startSmall(t, "-max-waiting", "3", "-slow", "conflate")
	c := join(t, addr)
	c.subscribe("a", "", false)
	c.conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	last := flood(t, addr, 50)
	left := 0
	for at := 0; at < last; {
		n, skipped := c.number()
		if skipped == 0 && n != at+1 || skipped > 0 && n != at+skipped {
			t.Fatalf("%d follows %d, and %d are said to be left out", n, at, skipped)
		}
		at, left = n, left+skipped
	}
	if s := stats(t, addr); left == 0 || s.Closed != 0 || s.Skipped != left {
		t.Errorf("%d were left out, and counted are %+v", left, s)
	}
	publishData(t, addr, "a", 1, 1, 1)
	c.wantData("a", 1, 1)
}
