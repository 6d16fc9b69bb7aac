package realtime_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// testTimeout bounds every wait of a test on real sockets.
const testTimeout = 20 * time.Second

// testServer is a manager and a server for it.
type testServer struct {
	*testing.T
	manager *sharedata.Manager
	server  *realtime.Server
	url     string
	client  *http.Client
}

// serve serves on the loopback.
func serve(t *testing.T, options *realtime.Options) *testServer {
	t.Helper()
	return serveStore(t, nil, options)
}

// serveStore is serve with a store.
func serveStore(t *testing.T, store replay.Store, options *realtime.Options) *testServer {
	t.Helper()
	ts := newTestServer(t, sharedata.Options{Store: store}, options)
	ts.listen()
	return ts
}

func (ts *testServer) listen() {
	h := httptest.NewServer(ts.server)
	ts.Cleanup(h.Close)
	ts.url, ts.client = h.URL, h.Client()
}

// servePipes serves on in-memory pipes, for a testing/synctest bubble.
func servePipes(t *testing.T, options *realtime.Options) *testServer {
	t.Helper()
	ts := newTestServer(t, sharedata.Options{}, options)
	ts.listenOnPipes(ts.server)
	return ts
}

func newTestServer(t *testing.T, managerOptions sharedata.Options, options *realtime.Options) *testServer {
	t.Helper()
	manager, err := sharedata.NewManager(&managerOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	server, err := realtime.NewServer(manager, options)
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{T: t, manager: manager, server: server}
	t.Cleanup(func() { ts.server.Close() })
	return ts
}

// inMemory is the address of a server on pipes.
const inMemory = "http://in.memory"

func (ts *testServer) listenOnPipes(handler http.Handler) {
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	h := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		h.Serve(listener)
	}()
	transport := &http.Transport{DialContext: listener.dial}
	ts.url, ts.client = inMemory, &http.Client{Transport: transport}
	ts.Cleanup(func() {
		transport.CloseIdleConnections()
		h.Close()
		<-served
	})
}

// Functions of the ShareData that tests create.
type counter struct {
	Value int    `json:"value"`
	Pad   string `json:"pad,omitempty"`
}

type step struct {
	By int `json:"by"`
}

var add = sharedata.NewFunction("add", func(_ context.Context, c counter, in step) (counter, error) {
	if c.Value+in.By < 0 {
		return c, sharedata.Reject("the counter cannot go below zero")
	}
	c.Value += in.By
	return c, nil
})

// failingStore is a store of which each method can be made to fail.
type failingStore struct {
	replay.Store
	failAppend, failRead, failLoad atomic.Bool
}

func newFailingStore(t *testing.T, options *replay.MemoryOptions) *failingStore {
	t.Helper()
	memory, err := replay.NewMemory(options)
	if err != nil {
		t.Fatal(err)
	}
	return &failingStore{Store: memory}
}

func (f *failingStore) Append(ctx context.Context, id string, batch replay.Batch) error {
	if f.failAppend.Load() {
		return fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Append(ctx, id, batch)
}

func (f *failingStore) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	if f.failRead.Load() {
		return nil, fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Read(ctx, id, after, limit)
}

func (f *failingStore) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	if f.failLoad.Load() {
		return replay.Head{}, fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Load(ctx, id, have)
}

// slowStore is a store of which the next Append, when slow is set, returns some
// time after it has stored: what it stored can be read, and nobody is notified
// of it yet.
type slowStore struct {
	replay.Store
	slow         atomic.Bool
	stored, goOn chan struct{}
	release      func() // lets it return
}

func newSlowStore(t *testing.T) *slowStore {
	goOn := make(chan struct{})
	return &slowStore{
		Store: newFailingStore(t, nil), stored: make(chan struct{}), goOn: goOn,
		release: sync.OnceFunc(func() { close(goOn) }),
	}
}

func (s *slowStore) Append(ctx context.Context, id string, batch replay.Batch) error {
	err := s.Store.Append(ctx, id, batch)
	if s.slow.CompareAndSwap(true, false) {
		close(s.stored)
		<-s.goOn
	}
	return err
}

// blockingFunction returns a function that waits until it is unblocked.
func blockingFunction(id string) (function *sharedata.Function, unblock func()) {
	open := make(chan struct{})
	return sharedata.NewFunction(id, func(ctx context.Context, c counter, _ any) (counter, error) {
		select {
		case <-open:
			c.Value += 1000
			return c, nil
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}), sync.OnceFunc(func() { close(open) })
}

func (ts *testServer) create(id string, functions ...*sharedata.Function) {
	ts.Helper()
	if _, err := ts.manager.Create(ts.Context(), id, counter{}, append(functions, add)...); err != nil {
		ts.Fatal(err)
	}
}

// createMissed creates "c" with n additions, and returns the cursor before them.
func (ts *testServer) createMissed(n int, functions ...*sharedata.Function) (since string) {
	ts.Helper()
	ts.create("c", functions...)
	since = ts.cursor("c").String()
	ts.add("c", n)
	return since
}

// add proposes on the server's side, n times.
func (ts *testServer) add(id string, n int) replay.Cursor {
	ts.Helper()
	var last replay.Cursor
	for range n {
		verdict, err := ts.manager.Propose(ts.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: step{By: 1}})
		if err != nil {
			ts.Fatal(err)
		}
		last = verdict.Cursor
	}
	return last
}

func (ts *testServer) cursor(id string) replay.Cursor {
	ts.Helper()
	at, err := ts.manager.Get(ts.Context(), id)
	if err != nil {
		ts.Fatal(err)
	}
	return at.Cursor
}

func (ts *testServer) dial() *peer {
	ts.Helper()
	conn, response, err := ts.tryDial(nil)
	if err != nil {
		ts.Fatal(err, response)
	}
	return &peer{T: ts.T, conn: conn}
}

func (ts *testServer) tryDial(header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ts.Context(), testTimeout)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, ts.url, &websocket.DialOptions{HTTPClient: ts.client, HTTPHeader: header})
	if err == nil {
		conn.SetReadLimit(-1)
		ts.Cleanup(func() { conn.CloseNow() })
	}
	return conn, response, err
}
