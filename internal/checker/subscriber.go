package checker

import (
	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// Subscriber records the frames that one subscriber receives about one ShareData.
type Subscriber struct{ log *log }

// Subscribed records that a subscribe without patches is about to be sent; since is
// its cursor, empty for none. It must be one with replayLifecycle: without, replays
// lack the updates.
func (s *Subscriber) Subscribed(since string) {
	s.SubscribedWith(&wire.Subscribe{Since: since, ReplayLifecycle: true})
}

// SubscribedWith records that a subscribe is about to be sent. One with patches and a
// cursor needs IncludeState unless KeepStateAt that cursor returns true.
func (s *Subscriber) SubscribedWith(f *wire.Subscribe) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.add(record{
		kind: subscribed, text: f.Since, hasState: s.log.held.keep(f.Since),
		patches: f.Patches, conflate: f.Conflate, includeState: f.IncludeState,
	})
}

// KeepStateAt keeps the state at a cursor for a subscribe, also while later frames are
// received. It returns false where the subscriber does not have it: only that of the
// newest frame.
func (s *Subscriber) KeepStateAt(cursor string) bool {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.held.keep(cursor)
}

// Frame records a frame that was received. Frames about other ShareData, and those
// that are not about a subscription, are ignored. An error frame
// replay-cursor-not-found without a ShareData is taken for one about this
// ShareData. Any other error frame that names it is a refused subscribe.
func (s *Subscriber) Frame(frame wire.ServerMessage) { s.log.addFrame(frame) }

// Unsubscribed records that an unsubscribe is about to be sent. Frames that were
// sent before it may still be received.
func (s *Subscriber) Unsubscribed() { s.log.add(record{kind: unsubscribed}) }

// Disconnected records that the connection has ended. code is that of the close
// frame, 0 where there was none.
func (s *Subscriber) Disconnected(code int) {
	s.log.add(record{kind: disconnected, number: uint64(max(code, 0))})
}

func (l *log) addFrame(frame wire.ServerMessage) { l.addFrameWith(frame, false) }

// addFrameWith records a frame. resumed says that a client called a state resumed.
func (l *log) addFrameWith(frame wire.ServerMessage, resumed bool) {
	rec, ok := l.recordOf(frame)
	if !ok {
		return
	}
	l.keepState(frame)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client {
		rec.resumed = resumed
		l.held.receiveEvent(frame, &rec)
	} else {
		l.held.receive(frame, &rec)
	}
	l.add(rec)
}

// Client records what a reconnecting client delivers about one ShareData, over any
// number of connections.
type Client struct{ log *log }

// Subscribed records that a subscription begins. from is the cursor to continue
// from; empty for none. A first subscription without a cursor need not be recorded.
func (c *Client) Subscribed(from string) {
	c.SubscribedWith(client.SubscribeOptions{Cursor: from})
}

// SubscribedWith is Subscribed with options.
func (c *Client) SubscribedWith(options client.SubscribeOptions) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	at, _ := replay.ParseCursor(options.Cursor)
	c.log.held = heldState{cursor: at, state: options.State}
	c.log.add(record{kind: subscribed, text: options.Cursor, conflate: options.Conflate})
}

// Event records an event of package client. It returns the position of the
// subscription after the event; empty where the event has none.
func (c *Client) Event(event client.Event) (cursor string) {
	id := c.log.shareData
	switch e := event.(type) {
	case *client.State:
		c.State(&wire.State{
			ShareDataID: id, CurrentState: e.CurrentState, LastTransactionID: e.LastTransactionID,
			Cursor: e.Cursor, Revision: e.Revision, Replaying: e.Replaying, Skipped: e.Skipped,
		}, e.Resumed)
		if e.Replaying == 0 {
			return e.Cursor
		}
	case *client.Transaction:
		c.Frame(&wire.Transaction{
			ShareDataID: id, TransactionID: e.TransactionID, Accepted: e.Accepted, CurrentState: e.CurrentState,
			Patch: e.Patch, Replayed: e.Replayed, Revision: e.Revision, FunctionID: e.FunctionID,
		})
		return e.TransactionID
	case *client.Lifecycle:
		kind := wire.EventUpdated
		if e.Removed {
			kind = wire.EventRemoved
		}
		c.Frame(&wire.Lifecycle{
			ShareDataID: id, Event: kind, CurrentState: e.CurrentState,
			Patch: e.Patch, Replayed: e.Replayed, Cursor: e.Cursor, Revision: e.Revision,
		})
		return e.Cursor
	case *client.Gap:
		c.Gap()
	}
	return ""
}

// State records a snapshot. resumed says that the client called it resumed:
// nothing was missed. The announced replay in the frame says only where a resumed
// state that is the one before the replayed events leads to.
func (c *Client) State(frame *wire.State, resumed bool) { c.log.addFrameWith(frame, resumed) }

// Frame records a transaction or lifecycle event; other frames are ignored.
func (c *Client) Frame(frame wire.ServerMessage) {
	switch frame.(type) {
	case *wire.Transaction, *wire.Lifecycle:
		c.log.addFrame(frame)
	}
}

// Gap records that the client reported a gap.
func (c *Client) Gap() { c.log.add(record{kind: gap}) }

// Closed records that the subscription was ended: it need not be complete.
func (c *Client) Closed() { c.log.add(record{kind: unsubscribed}) }
