package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// peer is somebody who knows the frames and nothing else. It lives through many
// connections, each of which is recorded frame by frame.
type peer struct {
	world  *world
	name   string
	front  *proxy
	ids    []string
	places places
	keys   int
	// open are proposals with a key that have no verdict yet; some are sent
	// again on a later connection.
	open []*wire.Propose
}

func (w *world) newPeer(number int, front *proxy, rng *rand.Rand) *peer {
	return &peer{world: w, name: fmt.Sprint("peer-", number), front: front, ids: some(rng, w.ids), places: newPlaces()}
}

// live makes connections and breaks them off until the world calms down.
func (p *peer) live(rng *rand.Rand) {
	for p.world.works() {
		// A connection that is stuck in a black hole is given up in the end.
		ctx, cancel := context.WithTimeout(p.world.ctx, 200*time.Millisecond+time.Duration(rng.Int64N(int64(4*time.Second))))
		if v := p.connect(ctx); v != nil {
			p.visit(v, rng)
			v.cut()
		}
		cancel()
		if rng.IntN(3) == 0 {
			p.world.move(p.front, rng.IntN(p.world.options.Processes))
		}
		p.world.think(rng)
	}
}

// visit is the life of one connection.
func (p *peer) visit(v *visit, rng *rand.Rand) {
	for _, id := range p.ids {
		cursor, _ := p.places.of(id)
		v.subscribe(id, since(rng, cursor))
	}
	for _, frame := range p.open {
		if rng.IntN(2) == 0 {
			v.propose(frame.ShareDataID, frame.FunctionID, frame.ProposedData, frame.IdempotencyKey)
		}
	}
	p.open = nil
	for range rng.IntN(25) {
		if !v.alive() || !p.world.works() {
			break
		}
		switch id := p.ids[rng.IntN(len(p.ids))]; rng.IntN(16) {
		case 0: // begin anew on the same connection
			cursor, _ := p.places.of(id)
			v.subscribe(id, cursor)
		case 1:
			v.send(&wire.Unsubscribe{ShareDataID: id})
		default:
			p.burst(v, rng)
		}
		if rng.IntN(4) == 0 {
			v.answered()
		}
		p.world.think(rng)
	}
	if rng.IntN(2) == 0 {
		v.answered()
	}
	p.open = v.unanswered()
}

// burst sends a few proposals without waiting.
func (p *peer) burst(v *visit, rng *rand.Rand) {
	for range 1 + rng.IntN(3) {
		id := p.world.ids[rng.IntN(len(p.world.ids))]
		function, data := randomProposal(rng, id)
		key := ""
		if rng.IntN(3) > 0 {
			p.keys++
			key = fmt.Sprint(p.name, "-", p.keys)
		}
		v.propose(id, function, data, key)
		if key != "" && rng.IntN(8) == 0 {
			v.propose(id, function, data, key)
		}
	}
}

// since is mostly the cursor, and sometimes one that cannot be resumed from.
func since(rng *rand.Rand, cursor string) string {
	switch rng.IntN(16) {
	case 0:
		return ""
	case 1:
		return "1-1" // of another epoch
	case 2:
		if c, err := replay.ParseCursor(cursor); err == nil {
			c.Revision += 1 << 40
			return c.String()
		}
	}
	return cursor
}

// visit is one connection of a peer.
type visit struct {
	peer   *peer
	ctx    context.Context
	ws     *websocket.Conn
	record *checker.Connection
	ended  chan struct{} // closed when nothing more will be received
	// refused holds an element when a subscribe was refused, or what was
	// subscribed to is gone.
	refused chan struct{}

	writing sync.Mutex // a frame is recorded and sent in one step

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, with every answer
	sent    int
	waiting map[string]*wire.Propose // by correlationId
	over    bool
}

// dialPatience is how long a connection may take to open.
const dialPatience = 5 * time.Second

// connect opens a connection; nil where that is not possible now.
func (p *peer) connect(ctx context.Context) *visit {
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	ws, response, err := websocket.Dial(dialing, "ws://"+p.front.addr()+"/realtime", &websocket.DialOptions{HTTPClient: p.world.dialer})
	if err != nil {
		return nil
	}
	ws.SetReadLimit(-1)
	v := &visit{
		peer: p, ctx: ctx, ws: ws, record: p.world.recorder.ConnectionTo(response.Header.Get("X-Served-By"), p.name),
		ended: make(chan struct{}), refused: make(chan struct{}, 1), changed: make(chan struct{}), waiting: make(map[string]*wire.Propose),
	}
	go v.read()
	return v
}

func (v *visit) read() {
	defer close(v.ended)
	for {
		_, data, err := v.ws.Read(v.ctx)
		if err != nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.record.Closed(max(int(websocket.CloseStatus(err)), 0))
			v.over = true
			return
		}
		frame, err := wire.DecodeServer(data, wire.Limits{})
		if err != nil {
			v.peer.world.fail(fmt.Errorf("%s: a server sent %.200q: %w", v.peer.name, data, err))
			continue
		}
		v.record.Received(frame)
		v.follow(frame)
	}
}

// follow moves the cursors past a frame.
func (v *visit) follow(frame wire.ServerMessage) {
	switch f := frame.(type) {
	case *wire.State:
		if f.Replaying == 0 {
			v.peer.places.reach(f.ShareDataID, f.Cursor)
		}
	case *wire.Transaction:
		v.peer.places.reach(f.ShareDataID, f.TransactionID)
	case *wire.Lifecycle:
		v.peer.places.reach(f.ShareDataID, f.Cursor)
		if f.Event == wire.EventRemoved {
			v.subscribeAgain() // there may be another one by that id
		}
	case *wire.Error:
		if f.ShareDataID != "" && f.Code != codes.ReplayCursorNotFound {
			v.subscribeAgain()
		}
	case *wire.ProposalResult:
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.waiting, f.CorrelationID)
		close(v.changed)
		v.changed = make(chan struct{})
	}
}

// subscribeAgain has a peer who rests come back: nothing more will be told of
// something that it has subscribed to.
func (v *visit) subscribeAgain() {
	select {
	case v.refused <- struct{}{}:
	default:
	}
}

// send writes a frame; a connection that is gone is noticed by the reader.
func (v *visit) send(frame wire.ClientMessage) {
	v.writing.Lock()
	defer v.writing.Unlock()
	if !v.alive() {
		return
	}
	v.record.Sent(frame)
	_ = v.ws.Write(v.ctx, websocket.MessageText, frame.AppendTo(nil))
}

func (v *visit) alive() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.over
}

func (v *visit) subscribe(id, since string) {
	v.send(&wire.Subscribe{ShareDataID: id, Since: since, ReplayLifecycle: true})
}

func (v *visit) propose(id, function string, data json.RawMessage, key string) {
	if !v.peer.world.mayAsk() {
		return
	}
	v.mu.Lock()
	v.sent++
	frame := &wire.Propose{
		ShareDataID: id, FunctionID: function, ProposedData: data,
		CorrelationID: fmt.Sprint("c", v.sent), IdempotencyKey: key,
	}
	v.waiting[frame.CorrelationID] = frame
	v.mu.Unlock()
	v.send(frame)
}

// answered waits until every proposal has its answer or the connection ends.
func (v *visit) answered() {
	for {
		v.mu.Lock()
		left, changed := len(v.waiting), v.changed
		v.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-changed:
		case <-v.ended:
			return
		}
	}
}

// unanswered are the proposals with a key that have no answer.
func (v *visit) unanswered() []*wire.Propose {
	v.mu.Lock()
	defer v.mu.Unlock()
	var open []*wire.Propose
	for i := range v.sent {
		if frame := v.waiting[fmt.Sprint("c", i+1)]; frame != nil && frame.IdempotencyKey != "" {
			open = append(open, frame)
		}
	}
	return open
}

// cut ends the connection without a word and waits until it is over.
func (v *visit) cut() {
	v.ws.CloseNow()
	<-v.ended
}
