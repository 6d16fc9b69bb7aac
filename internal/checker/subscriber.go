package checker

import (
	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/wire"
)

// Subscriber records the frames that one subscriber receives about one ShareData.
type Subscriber struct{ log *log }

// Subscribed records that a subscribe is about to be sent; since is its cursor,
// empty for none. It must be one with replayLifecycle: without, replays lack the
// updates.
func (s *Subscriber) Subscribed(since string) { s.log.add(record{kind: subscribed, text: since}) }

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

func (l *log) addFrame(frame wire.ServerMessage) {
	l.keepState(frame)
	if rec, ok := l.recordOf(frame); ok {
		l.add(rec)
	}
}

// Client records what a reconnecting client delivers about one ShareData, over any
// number of connections.
type Client struct{ log *log }

// Subscribed records that a subscription begins. from is the cursor to continue
// from; empty for none. A first subscription without a cursor need not be recorded.
func (c *Client) Subscribed(from string) { c.log.add(record{kind: subscribed, text: from}) }

// Event records an event of package client. It returns the position of the
// subscription after the event; empty where the event has none.
func (c *Client) Event(event client.Event) (cursor string) {
	id := c.log.shareData
	switch e := event.(type) {
	case *client.State:
		c.State(&wire.State{
			ShareDataID: id, CurrentState: e.CurrentState, LastTransactionID: e.LastTransactionID,
			Cursor: e.Cursor, Revision: e.Revision,
		}, e.Resumed)
		if e.Replaying == 0 {
			return e.Cursor
		}
	case *client.Transaction:
		c.Frame(&wire.Transaction{
			ShareDataID: id, TransactionID: e.TransactionID, Accepted: e.Accepted, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Revision: e.Revision, FunctionID: e.FunctionID,
		})
		return e.TransactionID
	case *client.Lifecycle:
		kind := wire.EventUpdated
		if e.Removed {
			kind = wire.EventRemoved
		}
		c.Frame(&wire.Lifecycle{
			ShareDataID: id, Event: kind, CurrentState: e.CurrentState,
			Replayed: e.Replayed, Cursor: e.Cursor, Revision: e.Revision,
		})
		return e.Cursor
	case *client.Gap:
		c.Gap()
	}
	return ""
}

// State records a snapshot. resumed says that the client called it resumed:
// nothing was missed. The announced replay in the frame is ignored.
func (c *Client) State(frame *wire.State, resumed bool) {
	c.log.keepState(frame)
	if rec, ok := c.log.recordOf(frame); ok {
		rec.resumed, rec.counted, rec.number = resumed, false, 0
		c.log.add(rec)
	}
}

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
