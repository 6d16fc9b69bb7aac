package promises

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
)

// goClient is a Go client on a network of its own, and what it has delivered.
type goClient struct {
	harness *harness
	name    string
	client  *client.Client
	network *flakyNetwork

	watching sync.WaitGroup // one for each subscription
	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, with every event
	cursors  map[string]string
}

func (h *harness) newGoClient(name string, events int) *goClient {
	return h.newGoClientWith(name, client.Options{EventBuffer: events})
}

func (h *harness) newGoClientWith(name string, options client.Options) *goClient {
	network := &flakyNetwork{address: h.address}
	options.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: network.dial}}
	options.Backoff = client.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
	options.RequestTimeout = testTimeout
	c, err := client.New(h.url, &options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return &goClient{harness: h, name: name, client: c, network: network, changed: make(chan struct{}), cursors: make(map[string]string)}
}

// watch subscribes and records events until the client is closed. It subscribes
// again when the ShareData was removed.
func (c *goClient) watch(ctx context.Context, id string) {
	c.watching.Go(func() {
		for ctx.Err() == nil {
			record := c.harness.recorder.Client(c.name, id)
			for event, err := range c.client.Subscribe(id).Events(ctx) {
				if err != nil {
					record.Closed()
				}
				if errors.Is(err, client.ErrClosed) {
					return
				}
				if err != nil {
					// The id is unknown between a removal and the creation after it.
					if !errors.Is(err, client.ErrUnknownShareData) && ctx.Err() == nil {
						c.harness.t.Errorf("%s: %v", c.name, err)
					}
					break
				}
				if cursor := record.Event(event); cursor != "" {
					c.moveTo(id, cursor)
				}
			}
		}
	})
}

func (c *goClient) moveTo(id, cursor string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursors[id] = cursor
	close(c.changed)
	c.changed = make(chan struct{})
}

// awaitCursor waits until the event at the cursor was delivered.
func (c *goClient) awaitCursor(id, cursor string) {
	for {
		c.mu.Lock()
		at, changed := c.cursors[id], c.changed
		c.mu.Unlock()
		if at == cursor {
			return
		}
		select {
		case <-changed:
		case <-c.harness.ctx.Done():
			c.harness.t.Errorf("%s got to %s of %s instead of %s", c.name, at, id, cursor)
			return
		}
	}
}

// propose proposes once and demands a verdict or a refusal, however often the
// network breaks.
func (c *goClient) propose(id, functionID string, data json.RawMessage, key string) {
	pending := c.harness.recorder.Proposed(checker.Proposal{
		Proposer: c.name, ShareData: id, Function: functionID, Data: data, Key: key,
	})
	result, err := c.client.ProposeWith(c.harness.ctx, client.Proposal{
		ShareDataID: id, FunctionID: functionID, Data: data, IdempotencyKey: key,
	})
	// A refusal after an attempt whose reply was lost leaves the outcome unknown.
	if !pending.Returned(result, err) && (!errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrTimeout)) {
		c.harness.t.Errorf("%s: the outcome of a proposal is unknown: %v", c.name, err)
	}
}

// flakyNetwork makes connections that break after a random number of received
// bytes. The zero value makes connections that do not break.
type flakyNetwork struct {
	mu      sync.Mutex
	address string     // of the server; empty: it cannot be reached
	random  *rand.Rand // nil: connections do not break
	most    int
	conn    net.Conn // the newest
}

// redirect breaks the current connection; new ones go to another address.
func (n *flakyNetwork) redirect(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.address = address
	n.interruptLocked()
}

// interrupt breaks the current connection.
func (n *flakyNetwork) interrupt() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.interruptLocked()
}

func (n *flakyNetwork) interruptLocked() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// breakAfter makes new connections break after at most this many bytes.
func (n *flakyNetwork) breakAfter(random *rand.Rand, most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.random, n.most = random, most
}

// repair breaks the current connection a last time; new ones do not break.
func (n *flakyNetwork) repair() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.random = nil
	n.interruptLocked()
}

func (n *flakyNetwork) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	n.mu.Lock()
	address := n.address
	n.mu.Unlock()
	conn, err := dialSmallBuffer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn = conn
	if n.random == nil {
		return conn, nil
	}
	return &flakyConn{Conn: conn, left: n.random.IntN(n.most) + 1}, nil
}

// flakyConn is a connection that breaks when left more bytes were received.
type flakyConn struct {
	net.Conn
	left int
}

func (c *flakyConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
