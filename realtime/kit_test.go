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
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas"
	"github.com/safe-go/safe/sharedata"
)

// patience bounds every wait of a test on real sockets.
const patience = 20 * time.Second

// world is a manager with one server before it.
type world struct {
	*testing.T
	manager *sharedata.Manager
	server  *realtime.Server
	url     string
	client  *http.Client
}

// overSockets serves on the loopback.
func overSockets(t *testing.T, options *realtime.Options) *world {
	t.Helper()
	return onStore(t, nil, options)
}

// onStore is overSockets with a store of the test's.
func onStore(t *testing.T, store replay.Store, options *realtime.Options) *world {
	t.Helper()
	w := newWorld(t, store, options)
	h := httptest.NewServer(w.server)
	t.Cleanup(h.Close)
	w.url, w.client = h.URL, h.Client()
	return w
}

// overPipes serves on in-memory pipes, for a testing/synctest bubble.
func overPipes(t *testing.T, options *realtime.Options) *world {
	t.Helper()
	w := newWorld(t, nil, options)
	w.servePipes(w.server)
	return w
}

func newWorld(t *testing.T, store replay.Store, options *realtime.Options) *world {
	t.Helper()
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	server, err := realtime.NewServer(manager, options)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, manager: manager, server: server}
	t.Cleanup(func() { w.server.Close() })
	return w
}

func (w *world) servePipes(handler http.Handler) {
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	h := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		h.Serve(listener)
	}()
	transport := &http.Transport{DialContext: listener.dial}
	w.url, w.client = "http://in.memory", &http.Client{Transport: transport}
	w.Cleanup(func() {
		transport.CloseIdleConnections()
		h.Close()
		<-served
	})
}

// pipes is a net.Listener for connections within the process.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

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

// fragile is a store that fails when told to.
type fragile struct {
	replay.Store
	failAppend, failRead, failLoad atomic.Bool
	reads                          atomic.Int32
}

func newFragile(t *testing.T, options *replay.MemoryOptions) *fragile {
	t.Helper()
	memory, err := replay.NewMemory(options)
	if err != nil {
		t.Fatal(err)
	}
	return &fragile{Store: memory}
}

func (f *fragile) Append(ctx context.Context, id string, batch replay.Batch) error {
	if f.failAppend.Load() {
		return fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Append(ctx, id, batch)
}

func (f *fragile) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	f.reads.Add(1)
	if f.failRead.Load() {
		return nil, fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Read(ctx, id, after, limit)
}

func (f *fragile) Load(ctx context.Context, id string) (replay.Head, error) {
	if f.failLoad.Load() {
		return replay.Head{}, fmt.Errorf("disk on fire: %w", replay.ErrUnavailable)
	}
	return f.Store.Load(ctx, id)
}

// gate is a function that waits until it is let go.
func gate(id string) (function *sharedata.Function, letGo func()) {
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

func (w *world) create(id string, functions ...*sharedata.Function) {
	w.Helper()
	if _, err := w.manager.Create(w.Context(), id, counter{}, append(functions, add)...); err != nil {
		w.Fatal(err)
	}
}

// add proposes on the server's side, n times.
func (w *world) add(id string, n int) replay.Cursor {
	w.Helper()
	var last replay.Cursor
	for range n {
		verdict, err := w.manager.Propose(w.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: step{By: 1}})
		if err != nil {
			w.Fatal(err)
		}
		last = verdict.Cursor
	}
	return last
}

func (w *world) cursor(id string) replay.Cursor {
	w.Helper()
	at, err := w.manager.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return at.Cursor
}

// peer is a raw client.
type peer struct {
	*testing.T
	conn *websocket.Conn
	// trusting peers do not hold frames against the schemas, which takes most
	// of the time where there are many.
	trusting bool
}

func (w *world) dial() *peer {
	w.Helper()
	conn, response, err := w.tryDial(nil)
	if err != nil {
		w.Fatal(err, response)
	}
	return &peer{T: w.T, conn: conn}
}

func (w *world) tryDial(header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, w.url, &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: header})
	if err == nil {
		conn.SetReadLimit(-1)
		w.Cleanup(func() { conn.CloseNow() })
	}
	return conn, response, err
}

// send sends a text message.
func (p *peer) send(format string, values ...any) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, values...)); err != nil {
		p.Fatal("write:", err)
	}
}

func (p *peer) subscribe(id, since string) {
	p.Helper()
	if since != "" {
		since = `,"since":"` + since + `"`
	}
	p.send(`{"v":1,"type":"subscribe","shareDataId":"%s"%s}`, id, since)
}

func (p *peer) propose(id, function, data, correlation string) {
	p.Helper()
	p.send(`{"v":1,"type":"propose","shareDataId":"%s","functionId":"%s","proposedData":%s,"correlationId":"%s"}`, id, function, data, correlation)
}

func (p *peer) ping(correlation string) {
	p.Helper()
	p.send(`{"v":1,"type":"ping","correlationId":"%s"}`, correlation)
}

// next reads one message.
func (p *peer) next() (wire.ServerMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, data, err := p.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, errors.New("not a text message")
	}
	if !p.trusting {
		if err := valid(data); err != nil {
			return nil, err
		}
	}
	return wire.DecodeServer(data, wire.Limits{})
}

// nextText reads one message as it is.
func (p *peer) nextText() string {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := p.conn.Read(ctx)
	if err != nil {
		p.Fatal(err)
	}
	if err := valid(data); err != nil {
		p.Fatal(err)
	}
	return string(data)
}

var validator = sync.OnceValues(schemas.New)

// valid holds a frame against the published schemas.
func valid(data []byte) error {
	v, err := validator()
	if err != nil || len(data) > schemas.MaxBytes {
		return err
	}
	return v.ExplainServer(data)
}

// readOn reads until the connection ends, and answers pings and closes so.
func (p *peer) readOn() {
	for {
		if _, _, err := p.conn.Read(context.Background()); err != nil {
			return
		}
	}
}

// want reads one message of type M.
func want[M wire.ServerMessage](p *peer) M {
	p.Helper()
	message, err := p.next()
	if err != nil {
		p.Fatalf("want a %T, got %v", *new(M), err)
	}
	m, ok := message.(M)
	if !ok {
		p.Fatalf("want a %T, got %s", *new(M), message.AppendTo(nil))
	}
	return m
}

// wantError reads an error frame.
func (p *peer) wantError(code, id string) *wire.Error {
	p.Helper()
	e := want[*wire.Error](p)
	if e.Code != code || e.ShareDataID != id {
		p.Fatalf("want error %q about %q, got %q about %q: %s", code, id, e.Code, e.ShareDataID, e.Message)
	}
	return e
}

// wantPong checks that nothing else comes before the answer to a ping.
func (p *peer) wantPong(correlation string) {
	p.Helper()
	p.ping(correlation)
	if m := want[*wire.Pong](p); m.CorrelationID != correlation {
		p.Fatalf("want pong %q, got %q", correlation, m.CorrelationID)
	}
}

// wantClose reads the end of the connection.
func (p *peer) wantClose(code websocket.StatusCode) {
	p.Helper()
	message, err := p.next()
	if err == nil {
		p.Fatalf("want close %d, got %s", code, message.AppendTo(nil))
	}
	if got := websocket.CloseStatus(err); got != code {
		p.Fatalf("want close %d, got %v", code, err)
	}
}

// join subscribes and reads the state.
func (p *peer) join(id, since string) *wire.State {
	p.Helper()
	p.subscribe(id, since)
	state := want[*wire.State](p)
	if state.ShareDataID != id {
		p.Fatalf("want the state of %q, got that of %q", id, state.ShareDataID)
	}
	return state
}

// wantTransactions reads live transactions with consecutive revisions.
func (p *peer) wantTransactions(from, to uint64) {
	p.Helper()
	for revision := from; revision <= to; revision++ {
		m := want[*wire.Transaction](p)
		if m.Revision != revision || m.Replayed || m.CurrentState == nil {
			p.Fatalf("want live transaction %d, got %s", revision, m.AppendTo(nil))
		}
	}
}

// wantReplayed reads replayed transactions with consecutive revisions.
func (p *peer) wantReplayed(from, to uint64) {
	p.Helper()
	for revision := from; revision <= to; revision++ {
		m := want[*wire.Transaction](p)
		if m.Revision != revision || !m.Replayed || m.CurrentState != nil {
			p.Fatalf("want replayed transaction %d, got %s", revision, m.AppendTo(nil))
		}
	}
}

// recorder keeps the events of a server.
type recorder struct {
	mu     sync.Mutex
	opened []realtime.Connection
	over   []realtime.OverflowEvent
	failed []realtime.StoreFailureEvent
	order  []string
	closed chan realtime.CloseEvent
}

func (r *recorder) observer() realtime.Observer {
	r.closed = make(chan realtime.CloseEvent, 1000)
	note := func(what string, keep func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.order = append(r.order, what)
		keep()
	}
	return realtime.Observer{
		OnOpen:         func(c realtime.Connection) { note("opened", func() { r.opened = append(r.opened, c) }) },
		OnOverflow:     func(o realtime.OverflowEvent) { note("overflow", func() { r.over = append(r.over, o) }) },
		OnStoreFailure: func(f realtime.StoreFailureEvent) { note("failed", func() { r.failed = append(r.failed, f) }) },
		OnClose: func(c realtime.CloseEvent) {
			note("closed", func() {})
			r.closed <- c
		},
	}
}

func (r *recorder) wantClosed(t *testing.T, code int) realtime.CloseEvent {
	t.Helper()
	select {
	case c := <-r.closed:
		if c.Code != code {
			t.Fatalf("want closed event with code %d, got %+v", code, c)
		}
		return c
	case <-time.After(90 * time.Second): // of fake time, mostly
		t.Fatal("no closed event")
	}
	return realtime.CloseEvent{}
}

// overflows returns what was told so far.
func (r *recorder) overflows() []realtime.OverflowEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.over)
}

func (r *recorder) inOrder() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func quoted(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
