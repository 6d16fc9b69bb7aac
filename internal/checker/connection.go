package checker

import (
	"fmt"
	"maps"
	"sync"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// Connection records all frames of one connection: its subscriptions and its
// proposals.
type Connection struct {
	recorder *Recorder
	name     string
	server   string

	mu          sync.Mutex // taken before Recorder.mu
	subscribers map[string]*Subscriber
	unanswered  map[string]*Pending // by correlationId
	closed      bool
}

// Connection returns the recording of a new connection. The name is for reports;
// several connections may have the same.
func (r *Recorder) Connection(name string) *Connection { return r.ConnectionTo("", name) }

// ConnectionTo is Connection where the process at the other end is known; after a
// restart it needs another name. No state may then be older than what any
// connection received from the same process before.
func (r *Recorder) ConnectionTo(server, name string) *Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections++
	return &Connection{
		recorder:    r,
		name:        fmt.Sprintf("%s/%d", name, r.connections),
		server:      server,
		subscribers: make(map[string]*Subscriber),
		unanswered:  make(map[string]*Pending),
	}
}

// ServedBy says which process is at the other end, as ConnectionTo does: where the
// response to a request that subscribes names it.
func (c *Connection) ServedBy(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recorder.mu.Lock()
	defer c.recorder.mu.Unlock()
	c.server = server
	for _, s := range c.subscribers {
		s.log.server = server
	}
}

// Continues says that the client has the states that it received on an earlier
// connection. It is called before anything is sent.
func (c *Connection) Continues(earlier *Connection) {
	earlier.mu.Lock()
	subscribers := maps.Clone(earlier.subscribers)
	earlier.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, before := range subscribers {
		s := c.subscriberLocked(id)
		before.log.mu.Lock()
		s.log.held = heldState{cursor: before.log.held.cursor, state: before.log.held.state}
		before.log.mu.Unlock()
	}
}

// KeepStateAt is Subscriber.KeepStateAt of the ShareData.
func (c *Connection) KeepStateAt(shareData, cursor string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subscriberLocked(shareData).KeepStateAt(cursor)
}

func (c *Connection) subscriberLocked(shareData string) *Subscriber {
	s := c.subscribers[shareData]
	if s == nil {
		s = c.recorder.Subscriber(c.name, shareData)
		s.log.server = c.server
		c.subscribers[shareData] = s
	}
	return s
}

// Sent records a frame that is about to be sent; after Closed it does nothing.
func (c *Connection) Sent(frame wire.ClientMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	switch f := frame.(type) {
	case *wire.Subscribe:
		c.subscriberLocked(f.ShareDataID).SubscribedWith(f)
	case *wire.Unsubscribe:
		if s := c.subscribers[f.ShareDataID]; s != nil {
			s.Unsubscribed()
		}
	case *wire.Propose:
		c.unanswered[f.CorrelationID] = c.recorder.Proposed(Proposal{
			Proposer: c.name, Connection: c.name, Server: c.server,
			ShareData: f.ShareDataID, Function: f.FunctionID, Data: f.ProposedData, Key: f.IdempotencyKey,
		})
	}
}

// Received records a frame that was received.
func (c *Connection) Received(frame wire.ServerMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subscribers {
		s.Frame(frame)
	}
	answer, ok := frame.(*wire.ProposalResult)
	if !ok {
		return
	}
	proposed := c.unanswered[answer.CorrelationID]
	delete(c.unanswered, answer.CorrelationID)
	if proposed == nil {
		return
	}
	proposed.Answered(Answer{
		Accepted: answer.Accepted, TransactionID: answer.TransactionID, Duplicate: answer.Duplicate,
		Code: answer.Code, Error: answer.Error,
	})
	s := c.subscribers[proposed.operation.Proposal.ShareData]
	cursor, err := replay.ParseCursor(answer.TransactionID)
	if s != nil && err == nil {
		s.log.add(record{kind: result, number: proposed.operation.SendOrder, cursor: cursor, accepted: answer.Accepted, repeated: answer.Duplicate})
	}
}

// Closed records that the connection has ended. code is that of the close frame, 0
// where there was none.
func (c *Connection) Closed(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subscribers {
		s.Disconnected(code)
	}
	clear(c.unanswered)
	c.closed = true
}
