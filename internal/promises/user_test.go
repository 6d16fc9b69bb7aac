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
	"github.com/safe-go/safe/internal/wire"
)

// user is somebody who uses the Go client over a line that breaks.
type user struct {
	world  *world
	name   string
	client *client.Client
	line   *brittle

	watching sync.WaitGroup
	mu       sync.Mutex
	changed  chan struct{}
	cursors  map[string]string
}

func (w *world) user(name string, events int) *user {
	line := &brittle{}
	c, err := client.New(w.url, &client.Options{
		HTTPClient:     &http.Client{Transport: &http.Transport{DialContext: line.dial}},
		Backoff:        client.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond},
		EventBuffer:    events,
		RequestTimeout: patience,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &user{world: w, name: name, client: c, line: line, changed: make(chan struct{}), cursors: make(map[string]string)}
}

// watch subscribes and records what is delivered, until the ShareData has
// gone for good or the context ends. after is called behind each event.
func (u *user) watch(ctx context.Context, id string, after func()) {
	u.watching.Go(func() {
		for ctx.Err() == nil {
			record := u.world.recorder.User(u.name, id)
			for event, err := range u.client.Subscribe(id).Events(ctx) {
				if err != nil {
					record.Closed()
				}
				if errors.Is(err, client.ErrClosed) {
					return
				}
				if err != nil {
					// While it is being created anew, nobody knows it.
					if !errors.Is(err, client.ErrUnknownShareData) && ctx.Err() == nil {
						u.world.t.Errorf("%s: %v", u.name, err)
					}
					break
				}
				u.saw(record, id, event)
				if after != nil {
					after()
				}
			}
		}
	})
}

func (u *user) saw(record *checker.User, id string, event client.Event) {
	cursor := ""
	switch e := event.(type) {
	case *client.State:
		record.State(&wire.State{
			ShareDataID: id, CurrentState: e.CurrentState, LastTransactionID: e.LastTransactionID,
			Cursor: e.Cursor, Revision: e.Revision,
		}, e.Resumed)
		if e.Replaying == 0 {
			cursor = e.Cursor
		}
	case *client.Transaction:
		record.Frame(&wire.Transaction{
			ShareDataID: id, TransactionID: e.TransactionID, Accepted: e.Accepted, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Revision: e.Revision, FunctionID: e.FunctionID,
		})
		cursor = e.TransactionID
	case *client.Lifecycle:
		kind := wire.EventUpdated
		if e.Removed {
			kind = wire.EventRemoved
		}
		record.Frame(&wire.Lifecycle{
			ShareDataID: id, Event: kind, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Cursor: e.Cursor, Revision: e.Revision,
		})
		cursor = e.Cursor
	case *client.Gap:
		record.Gap()
	}
	if cursor == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cursors[id] = cursor
	close(u.changed)
	u.changed = make(chan struct{})
}

// reached waits until the user has seen the cursor.
func (u *user) reached(id, cursor string) {
	for {
		u.mu.Lock()
		at, changed := u.cursors[id], u.changed
		u.mu.Unlock()
		if at == cursor {
			return
		}
		select {
		case <-changed:
		case <-u.world.ctx.Done():
			u.world.t.Errorf("%s got to %s of %s instead of %s", u.name, at, id, cursor)
			return
		}
	}
}

// propose proposes once, whatever happens to the line meanwhile.
func (u *user) propose(id, functionID string, data json.RawMessage, key string) {
	pending := u.world.recorder.Proposed(checker.Proposal{
		Proposer: u.name, ShareData: id, Function: functionID, Data: data, Key: key,
	})
	result, err := u.client.ProposeWith(u.world.ctx, client.Proposal{
		ShareDataID: id, FunctionID: functionID, Data: data, IdempotencyKey: key,
	})
	var refused *client.ProposalError
	switch {
	case errors.As(err, &refused):
		pending.Answered(checker.Answer{Error: refused.Message})
	case errors.Is(err, client.ErrOutcomeUnknown) && !errors.Is(err, client.ErrTimeout):
		// It was refused after an attempt whose reply was lost.
	case err != nil:
		u.world.t.Errorf("%s: a proposal has no verdict: %v", u.name, err)
	default:
		pending.Answered(checker.Answer{
			Accepted: result.Accepted, TransactionID: result.TransactionID,
			Duplicate: result.Duplicate, Error: result.Error,
		})
	}
}

// brittle is a network whose connections break after a random number of bytes
// received, while it is told to break.
type brittle struct {
	mu     sync.Mutex
	random *rand.Rand // nil: connections hold
	most   int
	conn   net.Conn // the newest
}

// breakAfter makes new connections break after at most so many bytes.
func (b *brittle) breakAfter(random *rand.Rand, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.random, b.most = random, most
}

// hold makes new connections hold, and breaks the one there is.
func (b *brittle) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.random = nil
	if b.conn != nil {
		b.conn.Close()
	}
}

func (b *brittle) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialNarrow(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = conn
	if b.random == nil {
		return conn, nil
	}
	return &breaking{Conn: conn, left: b.random.IntN(b.most) + 1}, nil
}

// breaking is a connection that breaks when it has carried what it may.
type breaking struct {
	net.Conn
	left int
}

func (c *breaking) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
