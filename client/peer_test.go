package client

import (
	"context"
	"crypto/rand"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/wire"
)

// peer is the server's end of a connection.
type peer struct {
	t      testing.TB
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
	frames chan wire.ClientMessage // what the client sent
	ended  chan struct{}           // closed when nothing more comes
	renews bool                    // see fake.renews
	err    error                   // why, once ended

	helpers sync.WaitGroup
	mu      sync.Mutex
	outbox  [][]byte
	closing *websocket.CloseError // close with it when the outbox is empty
	budget  int                   // cut the connection after so many more frames; 0: never
	wake    chan struct{}
}

func newPeer(f *fake, ws *websocket.Conn) *peer {
	p := &peer{t: f.t, ws: ws, frames: make(chan wire.ClientMessage, 10000), ended: make(chan struct{}), wake: make(chan struct{}, 1), renews: f.renews}
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
		if ping, ok := frame.(*wire.Ping); ok && ping.TokenExpiry && !p.renews {
			p.send(&wire.Pong{CorrelationID: ping.CorrelationID}) // as a server that does not know the member
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

func (p *peer) wakeWriter() {
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
	p.wakeWriter()
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
	p.wakeWriter()
}

// receive returns the next frame of the client, which must come within a second.
func (p *peer) receive() wire.ClientMessage {
	p.t.Helper()
	return p.receiveWithin(time.Second)
}

func (p *peer) receiveWithin(limit time.Duration) wire.ClientMessage {
	p.t.Helper()
	select {
	case frame, ok := <-p.frames:
		if ok {
			return frame
		}
		p.t.Fatalf("the connection ended: %v", p.err)
	case <-time.After(limit):
		p.t.Fatal("the client sends nothing")
	}
	return nil
}

// expect receives frames that must be these, apart from correlation ids and random
// idempotency keys.
func (p *peer) expect(want ...wire.ClientMessage) {
	p.t.Helper()
	for _, w := range want {
		if got := p.receive(); !reflect.DeepEqual(withoutIDs(got), w) {
			p.t.Fatalf("the client sent %s, want %s", got.AppendTo(nil), w.AppendTo(nil))
		}
	}
}

func withoutIDs(frame wire.ClientMessage) wire.ClientMessage {
	switch frame := frame.(type) {
	case *wire.Ping:
		return &wire.Ping{TokenExpiry: frame.TokenExpiry}
	case *wire.Authenticate:
		return &wire.Authenticate{Token: frame.Token}
	case *wire.Propose:
		copied := *frame
		copied.CorrelationID = ""
		if len(copied.IdempotencyKey) == len(rand.Text()) {
			copied.IdempotencyKey = ""
		}
		return &copied
	}
	return frame
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
