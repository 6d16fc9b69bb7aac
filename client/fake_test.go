package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
)

// fake is a server whose every frame a test decides. Clients reach it over
// in-memory pipes, so that it lives in a synctest bubble.
type fake struct {
	t     testing.TB
	conns chan net.Conn
	done  chan struct{}
	peers chan *peer // connections, as they come
	http  *http.Server

	mu       sync.Mutex
	refuse   int                     // HTTP status for attempts; 0: upgrade
	down     bool                    // no connection can be made
	hang     bool                    // attempts are not answered
	requests []*http.Request         // attempts that reached the handler
	serve    func(peer *peer)        // if set, peers go there instead of to the channel
	wrap     func(net.Conn) net.Conn // around the server's end
	wrapNear func(net.Conn) net.Conn // around the client's end
}

// bubble runs a test with a fake server in a bubble.
func bubble(t *testing.T, test func(t *testing.T, f *fake)) {
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
func (f *fake) Close() error   { return nil }
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
	down, wrap, wrapNear := f.down, f.wrap, f.wrapNear
	f.mu.Unlock()
	if down {
		return nil, errDown
	}
	client, server := net.Pipe()
	if wrapNear != nil {
		client = wrapNear(client)
	}
	if wrap != nil {
		server = wrap(server)
	}
	select {
	case f.conns <- server:
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

// peer is the server's end of a connection.
type peer struct {
	t      testing.TB
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
	frames chan wire.ClientMessage // what the client sent
	ended  chan struct{}           // closed when nothing more comes
	err    error                   // why, once ended

	helpers sync.WaitGroup
	mu      sync.Mutex
	outbox  [][]byte
	closing *websocket.CloseError // close with it when the outbox is empty
	budget  int                   // cut the connection after so many more frames; 0: never
	wake    chan struct{}
}

func newPeer(f *fake, ws *websocket.Conn) *peer {
	p := &peer{t: f.t, ws: ws, frames: make(chan wire.ClientMessage, 10000), ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.helpers.Go(p.read)
	p.helpers.Go(p.write)
	return p
}

func (p *peer) read() {
	defer p.cancel()
	defer close(p.ended)
	for {
		_, data, err := p.ws.Read(p.ctx)
		if err != nil {
			p.err = err
			close(p.frames)
			return
		}
		frame, err := wire.DecodeClient(data, wire.Limits{MaxBytes: -1})
		if err != nil {
			p.t.Errorf("the client sent %.200s: %v", data, err)
			continue
		}
		p.frames <- frame
	}
}

func (p *peer) write() {
	for {
		p.mu.Lock()
		var next []byte
		closing := p.closing
		last := false
		if len(p.outbox) > 0 {
			next, p.outbox = p.outbox[0], p.outbox[1:]
			last = p.budget == 1
			p.budget = max(0, p.budget-1)
		}
		p.mu.Unlock()
		switch {
		case next != nil:
			if p.ws.Write(p.ctx, websocket.MessageText, next) != nil || last {
				p.cancel()
				return
			}
		case closing != nil:
			p.ws.Close(closing.Code, closing.Reason)
			return
		default:
			select {
			case <-p.wake:
			case <-p.ctx.Done():
				return
			}
		}
	}
}

func (p *peer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// wait cuts the connection and waits for its goroutines.
func (p *peer) wait() {
	p.cancel()
	p.ws.CloseNow()
	p.helpers.Wait()
}

// cut ends the connection without a close frame; what was not sent is lost.
func (p *peer) cut() {
	p.cancel()
	p.ws.CloseNow()
	<-p.ended
}

// cutAfter ends the connection after n more frames.
func (p *peer) cutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = n
}

// close sends what waits, and a close frame.
func (p *peer) close(code int, reason string) {
	p.mu.Lock()
	p.closing = &websocket.CloseError{Code: websocket.StatusCode(code), Reason: reason}
	p.mu.Unlock()
	p.poke()
}

// send sends frames.
func (p *peer) send(frames ...wire.ServerMessage) {
	for _, frame := range frames {
		p.sendText(string(frame.AppendTo(nil)))
	}
}

func (p *peer) sendText(text string) {
	p.mu.Lock()
	p.outbox = append(p.outbox, []byte(text))
	p.mu.Unlock()
	p.poke()
}

// receive returns the next frame of the client, which must come, and soon.
func (p *peer) receive() wire.ClientMessage {
	p.t.Helper()
	select {
	case frame, ok := <-p.frames:
		if ok {
			return frame
		}
		p.t.Fatalf("the connection ended: %v", p.err)
	case <-time.After(time.Second):
		p.t.Fatal("the client sends nothing")
	}
	return nil
}

// expect receives frames that must be these. An empty correlation id or
// idempotency key in want stands for any.
func (p *peer) expect(want ...wire.ClientMessage) {
	p.t.Helper()
	for _, w := range want {
		got := p.receive()
		compared := got
		switch w := w.(type) {
		case *wire.Propose:
			if g, ok := got.(*wire.Propose); ok {
				copied := *g
				if w.CorrelationID == "" {
					copied.CorrelationID = ""
				}
				if w.IdempotencyKey == "" {
					copied.IdempotencyKey = ""
				}
				compared = &copied
			}
		case *wire.Ping:
			if g, ok := got.(*wire.Ping); ok && w.CorrelationID == "" {
				copied := *g
				copied.CorrelationID = ""
				compared = &copied
			}
		}
		if !reflect.DeepEqual(compared, w) {
			p.t.Fatalf("the client sent %s, want %s", got.AppendTo(nil), w.AppendTo(nil))
		}
	}
}

// expectPropose receives a propose.
func (p *peer) expectPropose() *wire.Propose {
	p.t.Helper()
	frame := p.receive()
	propose, ok := frame.(*wire.Propose)
	if !ok {
		p.t.Fatalf("the client sent %s, want a propose", frame.AppendTo(nil))
	}
	return propose
}

// quiet checks that the client sends nothing more by itself.
func (p *peer) quiet() {
	p.t.Helper()
	synctest.Wait()
	select {
	case frame, ok := <-p.frames:
		if ok {
			p.t.Fatalf("the client sent %s, want nothing", frame.AppendTo(nil))
		}
	default:
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

// events follows a subscription from a goroutine of its own.
type events struct {
	t      testing.TB
	next   chan any // Event or error
	cancel context.CancelFunc
}

func follow(t testing.TB, s *Subscription) *events {
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{t: t, next: make(chan any), cancel: cancel}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(e.next)
		for event, err := range s.Events(ctx) {
			var got any = event
			if err != nil {
				got = err
			}
			select {
			case e.next <- got:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return e
}

func (e *events) receive() any {
	e.t.Helper()
	select {
	case got := <-e.next:
		return got
	case <-time.After(2 * time.Minute):
		e.t.Fatal("no event comes")
		return nil
	}
}

// expect takes events, described in few words as in describe.
func (e *events) expect(want ...string) {
	e.t.Helper()
	for _, w := range want {
		got := e.receive()
		event, ok := got.(Event)
		if !ok {
			e.t.Fatalf("got %v, want %q", got, w)
		}
		if d := describe(event); d != w {
			e.t.Fatalf("got %q, want %q", d, w)
		}
	}
}

// expectError takes the error that the events end with.
func (e *events) expectError(want error) error {
	e.t.Helper()
	got := e.receive()
	err, ok := got.(error)
	if !ok || !errors.Is(err, want) {
		e.t.Fatalf("got %v, want error %v", got, want)
	}
	e.expectEnd()
	return err
}

// expectEnd checks that the events end here.
func (e *events) expectEnd() {
	e.t.Helper()
	select {
	case got, ok := <-e.next:
		if ok {
			e.t.Fatalf("got %v after the end", got)
		}
	case <-time.After(time.Minute):
		e.t.Fatal("the loop does not end")
	}
}

// quiet checks that no event waits.
func (e *events) quiet() {
	e.t.Helper()
	synctest.Wait()
	select {
	case got := <-e.next:
		e.t.Fatalf("got %v, want nothing", got)
	default:
	}
}

// proposed is the outcome of a Propose.
type proposed struct {
	result Result
	err    error
}

// propose proposes from a goroutine of its own.
func propose(t testing.TB, c *Client, p Proposal) <-chan proposed {
	return proposeWithin(t, context.Background(), c, p)
}

func proposeWithin(t testing.TB, ctx context.Context, c *Client, p Proposal) <-chan proposed {
	outcome := make(chan proposed, 1)
	var done sync.WaitGroup
	done.Go(func() {
		result, err := c.ProposeWith(ctx, p)
		outcome <- proposed{result, err}
	})
	t.Cleanup(func() { c.Close(); done.Wait() })
	synctest.Wait()
	return outcome
}

func subscribeTo(id, since string) *wire.Subscribe {
	return &wire.Subscribe{ShareDataID: id, Since: since, ReplayLifecycle: since != ""}
}

func proposalOf(id string) Proposal {
	return Proposal{ShareDataID: id, FunctionID: "add", Data: json.RawMessage(`{"by":1}`)}
}

func proposeFrame(id string) *wire.Propose {
	return &wire.Propose{ShareDataID: id, FunctionID: "add", ProposedData: json.RawMessage(`{"by":1}`)}
}

func acceptedAs(p *wire.Propose, transactionID string) *wire.ProposalResult {
	return &wire.ProposalResult{CorrelationID: p.CorrelationID, Accepted: true, TransactionID: transactionID}
}
