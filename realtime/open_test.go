package realtime_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// lineClient is a client of the protocol of lines.
type lineClient struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialLines connects and says hello.
func (ts *testServer) dialLines(listener net.Listener, name string) *lineClient {
	ts.Helper()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		ts.Fatal(err)
	}
	ts.Cleanup(func() { conn.Close() })
	c := &lineClient{ts.T, conn, bufio.NewReader(conn)}
	c.say("hello " + name)
	return c
}

func (c *lineClient) say(line string) { fmt.Fprintln(c.conn, line) }

// want reads lines that begin so.
func (c *lineClient) want(beginnings ...string) (last string) {
	c.Helper()
	for _, beginning := range beginnings {
		line, err := c.in.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, beginning) {
			c.Fatalf("got %q and %v, want %s", line, err, beginning)
		}
		last = strings.TrimSuffix(line, "\n")
	}
	return last
}

// linesServer serves the protocol of lines beside the others.
func linesServer(t *testing.T, options *realtime.Options) (*testServer, net.Listener) {
	ts := serve(t, options)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveLines(ts.server, listener)
	}()
	t.Cleanup(func() {
		listener.Close()
		ts.server.Close()
		<-served
	})
	return ts, listener
}

// A protocol of the application has the promises of our own: what is committed comes in
// order and once, also after a disconnect, and an effect before its result.
func TestOpen_Promises(t *testing.T) {
	ts, listener := linesServer(t, nil)
	ts.create("c")
	c, ours := ts.dialLines(listener, "bob"), ts.dial()
	ours.join("c", "")
	c.want("ok")
	c.say("sub c")
	c.want("state c ")
	c.say(`do one c add {"by":2}`)
	c.want("change c ", "done one ")
	if m := want[*wire.Transaction](ours); string(m.CurrentState) != `{"value":2}` {
		t.Errorf("got %s", m.AppendTo(nil))
	}
	c.say(`do two c add {"by":-5}`)
	since := strings.Fields(c.want("change c "))[2]
	c.want("failed two rejected")
	c.say(`do three c add nonsense`)
	c.want("failed three ")
	c.say("sub x")
	c.want("error x unknown-share-data")
	c.conn.Close()
	ts.add("c", 2)

	c = ts.dialLines(listener, "bob")
	c.want("ok")
	c.say("sub c " + since)
	c.want("state c ", "change c ", "change c ")
	ts.add("c", 1)
	if line := c.want("change c "); !strings.HasSuffix(line, ` {"value":5}`) {
		t.Errorf("got %q", line)
	}
	c.say("sub c 7-7")
	c.want("state c ", "error c replay-cursor-not-found")
	c.say("unsub c")
	c.say("sub c")
	c.want("state c ")
	if err := ts.manager.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	c.want("removed c")
}

// The hooks, limits and ends of sessions are those of all connections.
func TestOpen_Limits(t *testing.T) {
	ts, listener := linesServer(t, &realtime.Options{
		MaxConnectionsPerSubject: 1,
		AuthorizeSubscribe: func(_ context.Context, caller *sharedata.Caller, id string) error {
			return &realtime.Refusal{Message: "not " + caller.Subject}
		},
	})
	ts.create("c")
	c := ts.dialLines(listener, "bob")
	c.want("ok")
	ts.dialLines(listener, "bob").want("error realtime: no session: too many connections")
	c.say("sub c")
	c.want("error c unauthorized-subscribe")
	if err := ts.server.Revoke(t.Context(), realtime.Revocation{Subject: "bob"}); err != nil {
		t.Fatal(err)
	}
	c.want("bye 4002")
	ts.dialLines(listener, "bob").want("error realtime: no session: authentication failed")
	other := ts.dialLines(listener, "alice")
	other.want("ok")
	if err := ts.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.want("bye 1001")
	ts.dialLines(listener, "alice").want("error realtime: no session: the server is shutting down")
}

// Each commit is encoded once for all sessions of a protocol, and a panic there costs
// these sessions alone.
func TestOpen_EncodePanics(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	ours := ts.dial()
	ours.join("c", "")
	calls := 0
	protocol := &realtime.Protocol{Encode: func(dst []byte, m *realtime.Message) []byte {
		if m.Type == realtime.MessageTransaction {
			calls++
			panic("a bug of the application")
		}
		return append(dst, '.')
	}}
	var sessions []*realtime.Session
	for range 3 {
		near, far := net.Pipe()
		session, err := ts.server.Open(&http.Request{}, linePeer{near}, &realtime.SessionOptions{Protocol: protocol})
		if err != nil {
			t.Fatal(err)
		}
		session.Subscribe(realtime.Subscription{ShareDataID: "c"})
		if _, err := far.Read(make([]byte, 1)); err != nil { // the state
			t.Fatal(err)
		}
		go io.Copy(io.Discard, far)
		sessions = append(sessions, session)
	}
	ts.add("c", 1)
	for _, s := range sessions {
		<-s.Done()
	}
	if calls != 1 {
		t.Errorf("a commit is encoded %d times", calls)
	}
	ours.wantTransactions(2, 2)
}
