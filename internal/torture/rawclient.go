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

// rawClient sends and receives frames without package client. It makes many
// connections, one after the other, each of which is recorded frame by frame.
type rawClient struct {
	driver    *driver
	name      string
	proxy     *proxy
	ids       []string
	positions positions
	asks      asks
	keys      int
	// before is the record of the connection before; nil at first, and where the client
	// has lost the states.
	before *checker.Connection
	// open are proposals with a key that have no result yet; some are sent again on
	// the next connection.
	open []*wire.Propose
}

func (d *driver) newRawClient(number int, proxy *proxy, rng *rand.Rand) *rawClient {
	return &rawClient{
		driver: d, name: fmt.Sprint("raw-", number), proxy: proxy, ids: some(rng, d.ids), positions: newPositions(),
		asks: asksOf(len(d.rawClients)),
	}
}

// work makes connections and cuts them until the clients have done enough.
func (r *rawClient) work(rng *rand.Rand) {
	for r.driver.isWorking() {
		// The time-out ends connections that a proxy blocks.
		ctx, cancel := context.WithTimeout(r.driver.ctx, 200*time.Millisecond+time.Duration(rng.Int64N(int64(4*time.Second))))
		if c := r.connect(ctx); c != nil {
			r.use(c, rng)
			c.cut()
			if rng.IntN(3) == 0 {
				r.before = nil
			}
		}
		cancel()
		if rng.IntN(3) == 0 {
			r.driver.move(r.proxy, rng.IntN(r.driver.options.Processes))
		}
		r.driver.think(rng)
	}
}

// use subscribes and proposes on one connection.
func (r *rawClient) use(c *connection, rng *rand.Rand) {
	for _, id := range r.ids {
		c.subscribe(id, since(rng, r.positions.of(id)))
	}
	for _, frame := range r.open {
		if rng.IntN(2) == 0 {
			c.propose(frame.ShareDataID, frame.FunctionID, frame.ProposedData, frame.IdempotencyKey)
		}
	}
	r.open = nil
	for range rng.IntN(25) {
		if c.isClosed() || !r.driver.isWorking() {
			break
		}
		switch id := r.ids[rng.IntN(len(r.ids))]; rng.IntN(16) {
		case 0: // subscribe again on the same connection
			c.subscribe(id, r.positions.of(id))
		case 1:
			c.send(&wire.Unsubscribe{ShareDataID: id})
		default:
			r.proposeBurst(c, rng)
		}
		if rng.IntN(4) == 0 {
			c.awaitResults()
		}
		r.driver.think(rng)
	}
	if rng.IntN(2) == 0 {
		c.awaitResults()
	}
	r.open = c.withoutResult()
}

// proposeBurst sends a few proposals without waiting for their results.
func (r *rawClient) proposeBurst(c *connection, rng *rand.Rand) {
	for range 1 + rng.IntN(3) {
		id := r.driver.ids[rng.IntN(len(r.driver.ids))]
		function, data := randomProposal(rng, id)
		key := ""
		if rng.IntN(3) > 0 {
			r.keys++
			key = fmt.Sprint(r.name, "-", r.keys)
		}
		c.propose(id, function, data, key)
		if key != "" && rng.IntN(8) == 0 {
			c.propose(id, function, data, key)
		}
	}
}

// since returns the cursor, or at random one that cannot be resumed from.
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

// connection is one connection of a rawClient.
type connection struct {
	client *rawClient
	ctx    context.Context
	ws     *websocket.Conn
	record *checker.Connection
	ended  chan struct{} // closed when the reader has returned
	// endedSubscription has an element when a subscribe was refused, or a ShareData
	// was removed.
	endedSubscription chan struct{}

	writing sync.Mutex // makes recording and sending a frame one step

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, with every result
	sent    int
	waiting map[string]*wire.Propose // by correlationId
	closed  bool
}

// openTimeout is how long a connection may take to open.
const openTimeout = 5 * time.Second

// connect opens a connection; it returns nil where that fails.
func (r *rawClient) connect(ctx context.Context) *connection {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	ws, response, err := websocket.Dial(opening, "ws://"+r.proxy.addr()+"/realtime", &websocket.DialOptions{HTTPClient: r.driver.httpClient})
	if err != nil {
		return nil
	}
	ws.SetReadLimit(-1)
	c := &connection{
		client: r, ctx: ctx, ws: ws, record: r.driver.recorder.ConnectionTo(response.Header.Get("X-Served-By"), r.name),
		ended: make(chan struct{}), endedSubscription: make(chan struct{}, 1),
		changed: make(chan struct{}), waiting: make(map[string]*wire.Propose),
	}
	if r.before != nil {
		c.record.Continues(r.before)
	}
	r.before = c.record
	go c.read()
	return c
}

func (c *connection) read() {
	defer close(c.ended)
	for {
		_, data, err := c.ws.Read(c.ctx)
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.record.Closed(max(int(websocket.CloseStatus(err)), 0))
			c.closed = true
			return
		}
		frame, err := wire.DecodeServer(data, wire.Limits{})
		if err != nil {
			c.client.driver.fail(fmt.Errorf("%s: a server sent %.200q: %w", c.client.name, data, err))
			continue
		}
		c.record.Received(frame)
		c.apply(frame)
	}
}

// apply moves the positions past a frame, and removes proposals that have results.
func (c *connection) apply(frame wire.ServerMessage) {
	id, cursor, ended := positionAfter(frame)
	if cursor != "" {
		c.client.positions.moveTo(id, cursor)
	}
	if ended {
		c.noteEnded()
	}
	if f, ok := frame.(*wire.ProposalResult); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, f.CorrelationID)
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// positionAfter returns which ShareData a frame is about, and the position of its
// subscriber after it; empty where that does not change. ended says that the
// subscription has ended: it was refused, or the ShareData removed, which may be created
// again.
func positionAfter(frame wire.ServerMessage) (id, cursor string, ended bool) {
	switch f := frame.(type) {
	case *wire.State:
		if f.Replaying > 0 {
			return f.ShareDataID, "", false
		}
		return f.ShareDataID, f.Cursor, false
	case *wire.Transaction:
		return f.ShareDataID, f.TransactionID, false
	case *wire.Lifecycle:
		return f.ShareDataID, f.Cursor, f.Event == wire.EventRemoved
	case *wire.Error:
		return f.ShareDataID, "", f.ShareDataID != "" && f.Code != codes.ReplayCursorNotFound
	}
	return "", "", false
}

// noteEnded says that a subscription has ended, so that stayConnected subscribes
// again.
func (c *connection) noteEnded() {
	select {
	case c.endedSubscription <- struct{}{}:
	default:
	}
}

// send records and writes a frame. The reader handles a failed connection.
func (c *connection) send(frame wire.ClientMessage) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isClosed() {
		return
	}
	c.record.Sent(frame)
	_ = c.ws.Write(c.ctx, websocket.MessageText, frame.AppendTo(nil))
}

func (c *connection) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *connection) subscribe(id, since string) {
	asks := c.client.asks
	c.send(&wire.Subscribe{
		ShareDataID: id, Since: since, ReplayLifecycle: true, Patches: asks.patches, Conflate: asks.conflate,
		IncludeState: asks.patches && !c.record.KeepStateAt(id, since),
	})
}

func (c *connection) propose(id, function string, data json.RawMessage, key string) {
	if !c.client.driver.reserveOperation() {
		return
	}
	c.mu.Lock()
	c.sent++
	frame := &wire.Propose{
		ShareDataID: id, FunctionID: function, ProposedData: data,
		CorrelationID: fmt.Sprint("c", c.sent), IdempotencyKey: key,
	}
	c.waiting[frame.CorrelationID] = frame
	c.mu.Unlock()
	c.send(frame)
}

// awaitResults waits until every proposal has its result or the connection ends.
func (c *connection) awaitResults() {
	for {
		c.mu.Lock()
		left, changed := len(c.waiting), c.changed
		c.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-changed:
		case <-c.ended:
			return
		}
	}
}

// withoutResult returns the proposals with a key that have no result.
func (c *connection) withoutResult() []*wire.Propose {
	c.mu.Lock()
	defer c.mu.Unlock()
	var open []*wire.Propose
	for i := range c.sent {
		if frame := c.waiting[fmt.Sprint("c", i+1)]; frame != nil && frame.IdempotencyKey != "" {
			open = append(open, frame)
		}
	}
	return open
}

// cut closes the TCP connection without a close frame and waits for the reader.
func (c *connection) cut() {
	c.ws.CloseNow()
	<-c.ended
}
