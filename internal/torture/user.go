package torture

import (
	"context"
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

// user is somebody who uses the Go client. All its connections go through one
// proxy, so that it can be moved to another server.
type user struct {
	world *world
	name  string
	front *proxy
	ids   []string

	// client is replaced when the user starts over.
	client    atomic.Pointer[client.Client]
	transport *http.Transport
	watching  sync.WaitGroup // the loops over the client's events
	restarts  int

	places places
}

// places are where a client has got to, by ShareData.
type places struct {
	mu      sync.Mutex
	cursors map[string]string
	changed chan struct{} // closed, and replaced, with every change
}

func newPlaces() places {
	return places{cursors: make(map[string]string), changed: make(chan struct{})}
}

func (p *places) reach(id, cursor string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursors[id] = cursor
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *places) of(id string) (cursor string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursors[id], p.changed
}

func (w *world) newUser(number int, front *proxy, rng *rand.Rand) (*user, error) {
	u := &user{
		world: w, name: fmt.Sprint("user-", number), front: front, ids: some(rng, w.ids), places: newPlaces(),
		transport: &http.Transport{DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext},
	}
	return u, u.begin()
}

// begin starts a client, which goes on where the one before was.
func (u *user) begin() error {
	c, err := client.New("ws://"+u.front.addr()+"/realtime", &client.Options{
		HTTPClient:        &http.Client{Transport: u.transport},
		Backoff:           client.Backoff{Initial: 20 * time.Millisecond, Max: 300 * time.Millisecond},
		ConnectTimeout:    4 * time.Second,
		HeartbeatInterval: 2 * time.Second,
		RequestTimeout:    requestTimeout,
		EventBuffer:       64,
	})
	if err != nil {
		return err
	}
	u.client.Store(c)
	for _, id := range u.ids {
		from, _ := u.places.of(id)
		u.watching.Go(func() { u.watch(c, id, from) })
	}
	return nil
}

// requestTimeout is how long a user waits for a verdict.
const requestTimeout = 10 * time.Second

// end ends the client, and returns when nothing of it is left.
func (u *user) end() {
	u.client.Load().Close()
	u.watching.Wait()
	u.transport.CloseIdleConnections()
}

// watch records what the client delivers of a ShareData, until it is closed.
func (u *user) watch(c *client.Client, id, from string) {
	for ctx := u.world.ctx; ctx.Err() == nil; from = "" {
		record := u.world.recorder.Client(u.name, id)
		if from != "" {
			record.Subscribed(from)
		}
		removed := false
		for event, err := range c.SubscribeFrom(id, from).Events(ctx) {
			if err != nil {
				record.Closed()
				if errors.Is(err, client.ErrClosed) || ctx.Err() != nil {
					return
				}
				if !errors.Is(err, client.ErrUnknownShareData) {
					u.world.fail(fmt.Errorf("%s: the subscription to %s ended: %w", u.name, id, err))
				}
				break
			}
			cursor := saw(record, id, event)
			lifecycle, ok := event.(*client.Lifecycle)
			if removed = ok && lifecycle.Removed; removed {
				cursor = ""
			}
			if _, gap := event.(*client.Gap); cursor != "" || removed || gap {
				u.places.reach(id, cursor)
			}
		}
		// While it is being created anew, nobody knows it.
		u.places.reach(id, "")
		u.world.sleep(100 * time.Millisecond)
	}
}

// live proposes until the world calms down.
func (u *user) live(rng *rand.Rand) {
	for n := 0; u.world.works(); n++ {
		switch rng.IntN(60) {
		case 0:
			u.world.move(u.front, rng.IntN(u.world.options.Processes))
			u.front.cut()
		case 1:
			u.startOver()
		default:
			u.proposeSomething(rng, n)
		}
		u.world.think(rng)
	}
}

// startOver ends the client and begins another one where it was, as a program
// does that is restarted.
func (u *user) startOver() {
	u.end()
	u.restarts++
	if err := u.begin(); err != nil {
		u.world.fail(err)
	}
}

// proposeSomething proposes once; sometimes again under the same key, or at
// the same time through another user, who may be at another server.
func (u *user) proposeSomething(rng *rand.Rand, n int) {
	id := u.world.ids[rng.IntN(len(u.world.ids))]
	function, data := randomProposal(rng, id)
	p := checker.Proposal{Proposer: u.name, ShareData: id, Function: function, Data: data, Key: fmt.Sprint(u.name, "-", n)}
	twin := u.world.users[rng.IntN(len(u.world.users))]
	how := rng.IntN(12)
	var both sync.WaitGroup
	if how == 0 {
		both.Go(func() { twin.propose(p) })
	}
	u.propose(p)
	both.Wait()
	if how == 1 {
		u.propose(p)
	}
}

func (u *user) propose(p checker.Proposal) {
	if !u.world.mayAsk() {
		return
	}
	p.Proposer = u.name
	pending := u.world.recorder.Proposed(p)
	result, err := u.client.Load().ProposeWith(context.Background(), client.Proposal{
		ShareDataID: p.ShareData, FunctionID: p.Function, Data: p.Data, IdempotencyKey: p.Key,
	})
	answer(pending, result, err)
}
