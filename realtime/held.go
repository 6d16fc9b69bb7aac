package realtime

import (
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// heldCommits are the commits that a channel holds, because the server may not
// know yet of revocations that came before them; see freshness.
type heldCommits struct {
	events []sharedata.Event
	bytes  int
}

// maxHeldBytes bounds the commits that one channel holds, by their states and
// heldOverhead for each. Beyond that, subscribers get the last state instead.
const (
	maxHeldBytes = 4 << 20
	heldOverhead = 512
)

// add holds commits. last is the position of the newest transaction before them.
func (h *heldCommits) add(events []sharedata.Event, last replay.Cursor) {
	for i := range events {
		h.bytes += len(events[i].State) + heldOverhead
	}
	h.events = append(h.events, events...)
	if h.bytes > maxHeldBytes && len(h.events) > 1 {
		reset := collapse(h.events, last)
		h.events, h.bytes = []sharedata.Event{reset}, len(reset.State)+heldOverhead
	}
}

// collapse returns one Reset for all the events.
func collapse(events []sharedata.Event, last replay.Cursor) sharedata.Event {
	end := events[len(events)-1]
	for i := range events {
		switch {
		case events[i].Reset:
			last = events[i].LastTransaction
		case events[i].Type == sharedata.EntryTransaction:
			last = events[i].Cursor
		}
	}
	reset := sharedata.Event{
		Entry: sharedata.Entry{ShareDataID: end.ShareDataID, Cursor: end.Cursor},
		State: end.State, Reset: true, LastTransaction: last,
	}
	if end.Type == sharedata.EntryRemoved {
		reset.Type, reset.LastTransaction = sharedata.EntryRemoved, replay.Cursor{}
	}
	return reset
}

// receiveLocked hands commits over, or holds them until the server knows what
// was revoked before them.
func (c *channel) receiveLocked(events []sharedata.Event) {
	switch {
	case c.holding.Load():
	case c.hub.freshness.isValid():
		c.applyLocked(events)
		return
	default:
		c.holding.Store(true)
		c.hub.freshness.await(c)
	}
	c.held.add(events, c.head.LastTransaction)
}

// goOn hands over the commits that are held.
func (c *channel) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.held.events
	c.held = heldCommits{}
	if len(events) > 0 {
		c.applyLocked(events)
	}
	c.holding.Store(false)
	for _, s := range c.subscribers {
		s.flush() // the results that waited for their effects
	}
}
