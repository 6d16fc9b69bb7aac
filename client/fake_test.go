package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// fake is a server whose every frame a test decides. Clients reach it over
// in-memory pipes, so that it lives in a synctest testWithFake.
type fake struct {
	t     testing.TB
	conns chan net.Conn
	done  chan struct{}
	peers chan *peer // connections, as they come
	http  *http.Server

	client   *Client    // what connect returned
	lastLine *vanishing // the server's end of the newest connection

	mu       sync.Mutex
	refuse   int                     // HTTP status for attempts; 0: upgrade
	down     bool                    // no connection can be made
	hang     bool                    // attempts are not answered
	requests []*http.Request         // attempts that reached the handler
	serve    func(peer *peer)        // if set, peers go there instead of to the channel
	wrapNear func(net.Conn) net.Conn // around the client's end
	renews   bool                    // the test answers pings that ask for the token's expiry; set it before connecting
}

// testWithFake runs a test with a fake server in a testWithFake.
func testWithFake(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		t.Cleanup(f.close)
		test(t, f)
	})
}

func newFake(t testing.TB) *fake {
	f := &fake{t: t, conns: make(chan net.Conn), done: make(chan struct{}), peers: make(chan *peer, 100)}
	f.http = &http.Server{Handler: f}
	go f.http.Serve(f)
	return f
}

func (f *fake) close() {
	close(f.done)
	f.http.Close()
}

// Accept, Close and Addr make the fake its own listener.
func (f *fake) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *fake) Close() error { return nil }

func (f *fake) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// set changes how the fake behaves from now on.
func (f *fake) set(change func(f *fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) attempts() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*http.Request(nil), f.requests...)
}

// options returns the given options with a way to the fake.
func (f *fake) options(given *Options) *Options {
	var o Options
	if given != nil {
		o = *given
	}
	if o.Backoff == (Backoff{}) {
		o.Backoff = Backoff{Jitter: -1}
	}
	o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: f.dial, DisableKeepAlives: true}}
	return &o
}

var errDown = errors.New("fake: network is down")

func (f *fake) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	down, wrapNear := f.down, f.wrapNear
	f.mu.Unlock()
	if down {
		return nil, errDown
	}
	client, server := net.Pipe()
	if wrapNear != nil {
		client = wrapNear(client)
	}
	line := &vanishing{Conn: server}
	f.set(func(f *fake) { f.lastLine = line })
	select {
	case f.conns <- line:
		return client, nil
	case <-f.done:
		return nil, errDown
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	refuse, hang, serve := f.refuse, f.hang, f.serve
	f.mu.Unlock()
	switch {
	case hang:
		select {
		case <-r.Context().Done():
		case <-f.done:
		}
		return
	case refuse != 0:
		w.WriteHeader(refuse)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		f.t.Errorf("fake: %v", err)
		return
	}
	ws.SetReadLimit(-1)
	p := newPeer(f, ws)
	defer p.wait()
	if serve != nil {
		serve(p)
		return
	}
	f.peers <- p
	select {
	case <-p.ended:
	case <-f.done:
	}
}

// accept returns the next connection of the client, which must come within two
// minutes.
func (f *fake) accept() *peer {
	f.t.Helper()
	select {
	case p := <-f.peers:
		return p
	case <-time.After(2 * time.Minute):
		f.t.Fatal("the client does not connect")
		return nil
	}
}

// connect dials the fake and returns both ends.
func (f *fake) connect(options *Options) (*Client, *peer) {
	f.t.Helper()
	c, err := Dial(context.Background(), "ws://fake/realtime", f.options(options))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	f.client = c
	return c, f.accept()
}

// start makes a client that connects in the background.
func (f *fake) start(options *Options) *Client {
	f.t.Helper()
	c, err := New("ws://fake/realtime", f.options(options))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// subscribe connects, and follows a subscription to x that has received its first
// state, at revision 5. The client is f.client.
func (f *fake) subscribe(options *Options) (*peer, *events) {
	f.t.Helper()
	c, p := f.connect(options)
	s := follow(f.t, c.Subscribe("x"))
	p.expect(subscribeTo("x", ""))
	p.send(snapshot("e", 5, 0))
	s.expect("state e-5")
	return p, s
}
