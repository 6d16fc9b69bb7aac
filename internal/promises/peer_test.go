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

// peer is a raw WebSocket connection: it knows the frames and nothing else.
type peer struct {
	world  *world
	ws     *websocket.Conn
	record *checker.Connection
	ended  chan struct{} // closed when nothing more will be received

	writing sync.Mutex // a frame is recorded and sent in one step

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, with every frame
	frames  int
	answers int
	sent    int
	// cursors are where each subscription has got to; empty before its state
	// and while the first of its replayed frames is awaited.
	cursors map[string]string
	stalled chan struct{} // if not nil, nothing is read until it is closed
	code    int           // of the close frame
	over    bool
}

func (w *world) connect(name string) *peer {
	ws, _, err := websocket.Dial(w.ctx, w.url, &websocket.DialOptions{HTTPClient: narrowHTTP})
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	ws.SetReadLimit(-1)
	p := &peer{
		world: w, ws: ws, record: w.recorder.Connection(name),
		ended: make(chan struct{}), changed: make(chan struct{}),
		cursors: make(map[string]string),
	}
	go p.read()
	return p
}

func (p *peer) read() {
	defer close(p.ended)
	for {
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		_, data, err := p.ws.Read(p.world.ctx)
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			var closed websocket.CloseError
			if errors.As(err, &closed) {
				p.code = int(closed.Code)
			}
			p.record.Closed(p.code)
			p.over = true
			close(p.changed)
			p.changed = make(chan struct{})
			return
		}
		frame, err := wire.DecodeServer(data, wire.Limits{})
		if err != nil {
			p.world.t.Errorf("the server sent %.200q: %v", data, err)
			continue
		}
		p.record.Received(frame)
		if p.world.received != nil {
			p.world.received(frame)
		}
		p.follow(frame)
	}
}

// follow moves the cursor past a frame.
func (p *peer) follow(frame wire.ServerMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames++
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
		p.answers++
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// await waits until the condition holds, which is looked at with mu held after
// every frame. It returns false if the connection ends first, or stop is
// closed; nil is never closed.
func (p *peer) await(holds func() bool, stop <-chan struct{}) bool {
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

// send writes a frame; a connection that is gone is noticed by the reader.
func (p *peer) send(frame wire.ClientMessage) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	over := p.over
	if !over {
		p.record.Sent(frame)
	}
	p.mu.Unlock()
	if over {
		return
	}
	_ = p.ws.Write(p.world.ctx, websocket.MessageText, frame.AppendTo(nil))
}

func (p *peer) subscribe(id, since string) {
	p.mu.Lock()
	p.cursors[id] = ""
	p.mu.Unlock()
	p.send(&wire.Subscribe{ShareDataID: id, Since: since, ReplayLifecycle: true})
}

func (p *peer) propose(id, functionID string, data json.RawMessage, key string) {
	p.mu.Lock()
	p.sent++
	correlationID := fmt.Sprint("c", p.sent)
	p.mu.Unlock()
	p.send(&wire.Propose{
		ShareDataID: id, FunctionID: functionID, ProposedData: data,
		CorrelationID: correlationID, IdempotencyKey: key,
	})
}

// answered waits until every proposal has its answer.
func (p *peer) answered() bool {
	return p.await(func() bool { return p.answers == p.sent }, nil)
}

// stall makes the peer read nothing more until the returned function is called.
func (p *peer) stall() (resume func()) {
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

// cut ends the connection without a word and waits until it is over.
func (p *peer) cut() {
	p.ws.CloseNow()
	<-p.ended
}

// cursor is where the subscription has got to.
func (p *peer) cursor(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursors[id]
}
