package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/checker"
)

// goClient uses package client. All its connections go through one proxy, so that
// it can be moved to another server.
type goClient struct {
	driver *driver
	name   string
	proxy  *proxy
	ids    []string

	client    atomic.Pointer[client.Client] // replaced by restart
	transport *http.Transport
	watching  sync.WaitGroup // one for each subscription
	restarts  int
	asks      asks

	positions positions
}

// requestTimeout is how long a goClient waits for a verdict.
const requestTimeout = 10 * time.Second

func (d *driver) newGoClient(number int, proxy *proxy, rng *rand.Rand) (*goClient, error) {
	c := &goClient{
		driver: d, name: fmt.Sprint("client-", number), proxy: proxy, ids: some(rng, d.ids), positions: newPositions(),
		asks:      asksOf(len(d.goClients)),
		transport: &http.Transport{DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext},
	}
	return c, c.start()
}

// start starts a client that continues at the positions of the one before.
func (c *goClient) start() error {
	started, err := client.New("ws://"+c.proxy.addr()+"/realtime", &client.Options{
		HTTPClient:        &http.Client{Transport: c.transport},
		Backoff:           client.Backoff{Initial: 20 * time.Millisecond, Max: 300 * time.Millisecond},
		ConnectTimeout:    4 * time.Second,
		HeartbeatInterval: 2 * time.Second,
		RequestTimeout:    requestTimeout,
		EventBuffer:       64,
		KeptStateBytes:    keptStateBytes[c.asks.patches],
	})
	if err != nil {
		return err
	}
	c.client.Store(started)
	for _, id := range c.ids {
		from := client.SubscribeOptions{Cursor: c.positions.of(id), Conflate: c.asks.conflate}
		if c.asks.patches && c.restarts%2 == 0 {
			from.Cursor, from.State = c.positions.withState(id)
		}
		c.watching.Go(func() { c.watch(started, id, from) })
	}
	return nil
}

// stop closes the client and waits for the loops over its events.
func (c *goClient) stop() {
	c.client.Load().Close()
	c.watching.Wait()
	c.transport.CloseIdleConnections()
}

// restart stops the client and starts another one, as a restart of its program
// does.
func (c *goClient) restart() {
	c.stop()
	c.restarts++
	if err := c.start(); err != nil {
		c.driver.fail(err)
	}
}

// keptStateBytes is client.Options.KeptStateBytes with patches and without.
var keptStateBytes = map[bool]int{true: 0, false: -1}

// watch records the events of a ShareData until the client is closed. It subscribes
// again when the ShareData was removed.
func (c *goClient) watch(started *client.Client, id string, from client.SubscribeOptions) {
	for ctx := c.driver.ctx; ctx.Err() == nil; from.Cursor, from.State = "", nil {
		record := c.driver.recorder.Client(c.name, id)
		record.SubscribedWith(from)
		subscription := started.SubscribeWith(id, from)
		for event, err := range subscription.Events(ctx) {
			if err != nil {
				record.Closed()
				if errors.Is(err, client.ErrClosed) || ctx.Err() != nil {
					return
				}
				if !errors.Is(err, client.ErrUnknownShareData) {
					c.driver.fail(fmt.Errorf("%s: the subscription to %s ended: %w", c.name, id, err))
				}
				break
			}
			cursor := record.Event(event)
			lifecycle, ok := event.(*client.Lifecycle)
			removed := ok && lifecycle.Removed
			if removed {
				cursor = ""
			}
			gap, isGap := event.(*client.Gap)
			if isGap {
				c.driver.options.Log("%s: gap in %s after %s: %s", c.name, id, gap.Cursor, gap.Reason)
			}
			if cursor != "" || removed || isGap {
				_, state := subscription.Position()
				c.positions.moveToState(id, cursor, state)
			}
		}
		// The id is unknown between a removal and the creation after it.
		c.positions.moveTo(id, "")
		c.driver.sleep(100 * time.Millisecond)
	}
}

// work proposes until the clients have done enough.
func (c *goClient) work(rng *rand.Rand) {
	for n := 0; c.driver.isWorking(); n++ {
		switch rng.IntN(60) {
		case 0:
			c.driver.move(c.proxy, rng.IntN(c.driver.options.Processes))
			c.proxy.cut()
		case 1:
			c.restart()
		default:
			c.proposeRandom(rng, n)
		}
		c.driver.think(rng)
	}
}

// proposeRandom proposes once; sometimes again under the same key, or at the same
// time through another client, which may be at another server.
func (c *goClient) proposeRandom(rng *rand.Rand, n int) {
	id := c.driver.ids[rng.IntN(len(c.driver.ids))]
	function, data := randomProposal(rng, id)
	p := checker.Proposal{ShareData: id, Function: function, Data: data, Key: fmt.Sprint(c.name, "-", n)}
	other := c.driver.goClients[rng.IntN(len(c.driver.goClients))]
	how := rng.IntN(12)
	var both sync.WaitGroup
	if how == 0 {
		both.Go(func() { other.propose(p) })
	}
	c.propose(p)
	both.Wait()
	if how == 1 {
		c.propose(p)
	}
}

func (c *goClient) propose(p checker.Proposal) {
	if !c.driver.reserveOperation() {
		return
	}
	p.Proposer = c.name
	pending := c.driver.recorder.Proposed(p)
	result, err := c.client.Load().ProposeWith(context.Background(), client.Proposal{
		ShareDataID: p.ShareData, FunctionID: p.Function, Data: p.Data, IdempotencyKey: p.Key,
	})
	pending.Returned(result, err)
}

// positions are the positions of a client's subscriptions, by ShareData.
type positions struct {
	mu      sync.Mutex
	cursors map[string]string
	states  map[string]json.RawMessage // at the cursors; nil where they are not known
	// asked are the subscribes of which nothing was received yet.
	asked map[string]bool
}

func newPositions() positions {
	return positions{cursors: make(map[string]string), states: make(map[string]json.RawMessage), asked: make(map[string]bool)}
}

// ask notes a subscribe on a new connection.
func (p *positions) ask(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[id] = true
}

// isAt reports whether a subscription is at a cursor and not waiting for a reply.
func (p *positions) isAt(id, cursor string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursors[id] == cursor && !p.asked[id]
}

func (p *positions) moveTo(id, cursor string) { p.moveToState(id, cursor, nil) }

func (p *positions) moveToState(id, cursor string, state json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursors[id], p.states[id] = cursor, state
	delete(p.asked, id)
}

func (p *positions) of(id string) string {
	cursor, _ := p.withState(id)
	return cursor
}

func (p *positions) withState(id string) (cursor string, state json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cursors[id] == "" {
		return "", nil
	}
	return p.cursors[id], p.states[id]
}
