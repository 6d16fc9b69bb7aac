package promises

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
)

// rawConn is a WebSocket connection without the Go client. Every frame is
// recorded.
type rawConn struct {
	harness *harness
	ws      *websocket.Conn
	record  *checker.Connection
	asks    asks
	ended   chan struct{} // closed when the reader has returned

	writing sync.Mutex // makes recording and sending a frame one step

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, with every frame
	frames  int
	bytes   int // of the frames
	replies int
	sent    int
	// cursors are the positions of the subscriptions; empty before the state, and
	// before the first replayed frame where some are announced.
	cursors map[string]string
	stalled chan struct{} // if not nil, nothing is read until it is closed
	code    int           // of the close frame
	closed  bool
}

// asks is what the subscriptions of a connection ask for.
type asks struct{ patches, conflate bool }

// connect opens a connection. The name is for reports.
func (h *harness) connect(name string) *rawConn { return h.connectAfter(nil, name, asks{}) }

// connectAfter opens a connection of a subscriber that has the states that it received
// on another connection, if that is not nil.
func (h *harness) connectAfter(before *rawConn, name string, asks asks) *rawConn {
	ws, _, err := websocket.Dial(h.ctx, h.url, &websocket.DialOptions{HTTPClient: smallBufferClient})
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	ws.SetReadLimit(-1)
	p := &rawConn{
		harness: h, ws: ws, record: h.recorder.Connection(name), asks: asks,
		ended: make(chan struct{}), changed: make(chan struct{}),
		cursors: make(map[string]string),
	}
	if before != nil {
		p.record.Continues(before.record)
	}
	go p.read()
	return p
}

func (p *rawConn) read() {
	defer close(p.ended)
	for {
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		_, data, err := p.ws.Read(p.harness.ctx)
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			var frame websocket.CloseError
			if errors.As(err, &frame) {
				p.code = int(frame.Code)
			}
			p.record.Closed(p.code)
			p.closed = true
			close(p.changed)
			p.changed = make(chan struct{})
			return
		}
		frame, err := wire.DecodeServer(data, wire.Limits{})
		if err != nil {
			p.harness.t.Errorf("the server sent %.200q: %v", data, err)
			continue
		}
		p.record.Received(frame)
		if p.harness.received != nil {
			p.harness.received(frame)
		}
		p.follow(frame, len(data))
	}
}

// follow moves the cursor of the subscription that a frame belongs to.
func (p *rawConn) follow(frame wire.ServerMessage, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames++
	p.bytes += bytes
	switch f := frame.(type) {
	case *wire.State:
		if f.Replaying == 0 {
			p.cursors[f.ShareDataID] = f.Cursor
		}
	case *wire.Transaction:
		p.cursors[f.ShareDataID] = f.TransactionID
	case *wire.Lifecycle:
		p.cursors[f.ShareDataID] = f.Cursor
	case *wire.ProposalResult:
		p.replies++
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// await waits until the condition holds, which is evaluated with mu held, after
// every frame. It returns false if the connection ends before, or stop is closed.
func (p *rawConn) await(holds func() bool, stop <-chan struct{}) bool {
	for {
		p.mu.Lock()
		held, changed := holds(), p.changed
		p.mu.Unlock()
		if held {
			return true
		}
		select {
		case <-changed:
		case <-stop:
			return false
		case <-p.ended:
			p.mu.Lock()
			defer p.mu.Unlock()
			return holds()
		}
	}
}

// send records and writes a frame. The reader handles a failed connection.
func (p *rawConn) send(frame wire.ClientMessage) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.record.Sent(frame)
	}
	p.mu.Unlock()
	if closed {
		return
	}
	_ = p.ws.Write(p.harness.ctx, websocket.MessageText, frame.AppendTo(nil))
}

func (p *rawConn) subscribe(id, since string) {
	p.mu.Lock()
	p.cursors[id] = ""
	p.mu.Unlock()
	p.send(&wire.Subscribe{
		ShareDataID: id, Since: since, ReplayLifecycle: true, Patches: p.asks.patches, Conflate: p.asks.conflate,
		IncludeState: p.asks.patches && !p.record.KeepStateAt(id, since),
	})
}

func (p *rawConn) propose(id, functionID string, data json.RawMessage, key string) {
	p.mu.Lock()
	p.sent++
	correlationID := fmt.Sprint("c", p.sent)
	p.mu.Unlock()
	p.send(&wire.Propose{
		ShareDataID: id, FunctionID: functionID, ProposedData: data,
		CorrelationID: correlationID, IdempotencyKey: key,
	})
}

// awaitReplies waits until every proposal has its result. It returns false if the
// connection ends before.
func (p *rawConn) awaitReplies() bool {
	return p.await(func() bool { return p.replies == p.sent }, nil)
}

// stall stops reading until the returned function is called.
func (p *rawConn) stall() (resume func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	p.stalled = gate
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.stalled = nil
		p.mu.Unlock()
		close(gate)
	})
}

// cut closes the TCP connection without a close frame and waits for the reader.
func (p *rawConn) cut() {
	p.ws.CloseNow()
	<-p.ended
}

// cursor returns the position of a subscription.
func (p *rawConn) cursor(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursors[id]
}
