package realtime

import (
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// channel hands what is committed to one ShareData to everybody who is
// subscribed to it. It exists while somebody is, and observes the manager.
//
// What it does in Observe is the fan-out: it happens inside the section that
// orders the ShareData's commits, so it must never block. Each frame is encoded
// once; subscribers get it by reference, a whole commit at a time.
//
// Lock order: channel.mu, subscription.mu, session.mu; outbox.mu and hub.mu
// come last, and with either of them held no other is taken.
type channel struct {
	hub *hub
	id  string

	// opened is closed when the manager has answered; err and stop are set
	// before that.
	opened chan struct{}
	err    error
	stop   func()

	holders int // guarded by hub.mu

	// over is closed when the ShareData was removed.
	over chan struct{}

	mu   sync.Mutex
	head sharedata.Snapshot
	// early are events that came before the snapshot that they follow.
	early       []sharedata.Event
	attached    bool // head is set
	ended       bool // the ShareData was removed: nobody can join any more
	subscribers []*subscription
	// updates are the revisions of wholesale updates that were seen and that are
	// inside the replay window.
	updates []uint64
	// state is the frame of head for those to whom stateReplaying entries are
	// replayed: many subscribers may begin at the same place.
	state          frame
	stateReplaying uint64
}

func newChannel(h *hub, id string) *channel {
	return &channel{hub: h, id: id, opened: make(chan struct{}), over: make(chan struct{})}
}

// attach sets the snapshot at which the channel joined the manager's events.
func (c *channel) attach(at sharedata.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.attached = at, true
	early := c.early
	c.early = nil
	if len(early) > 0 {
		c.applyLocked(early)
	}
}

// Observe is called by the manager with each commit, in order.
func (c *channel) Observe(events []sharedata.Event) {
	if events[len(events)-1].Type == sharedata.EntryRemoved {
		c.hub.drop(c) // whoever subscribes from now on finds what comes after
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.attached {
		c.early = append(c.early, events...)
		return
	}
	c.applyLocked(events)
}

// applyLocked moves the head over the events and tells the subscribers.
func (c *channel) applyLocked(events []sharedata.Event) {
	b := batch{frames: make([]frame, 0, len(events))}
	for _, event := range events {
		switch {
		case event.Type == sharedata.EntryRemoved:
			b.removed, c.ended = true, true
			close(c.over)
		case event.Reset:
			b.reset = true
			c.updates = nil
			c.head = c.hub.snapshotAfterReset(event)
			c.state = nil
			b.frames = append(b.frames, c.stateLocked(0),
				notResumedFrame(c.id, "the history did not continue; what was missed is not known, the state is current"))
			continue
		default:
			c.head.Cursor, c.head.State = event.Cursor, event.State
		}
		switch event.Type {
		case sharedata.EntryTransaction:
			c.head.LastTransaction = event.Cursor
		case sharedata.EntryUpdated:
			c.noteUpdateLocked(event.Revision())
		}
		if f := liveFrame(event); f != nil {
			b.frames = append(b.frames, f)
		}
	}
	c.state = nil
	b.bytes = size(b.frames)
	// Backwards, because a subscriber that leaves is replaced by the last one.
	for i := len(c.subscribers) - 1; i >= 0; i-- {
		if s := c.subscribers[i]; !s.deliver(b) {
			c.removeLocked(s)
		}
	}
}

// noteUpdateLocked remembers an update, and forgets those that nobody can be
// replayed any more.
func (c *channel) noteUpdateLocked(revision uint64) {
	c.updates = slices.DeleteFunc(c.updates, func(r uint64) bool { return r+uint64(c.hub.window) < revision })
	c.updates = append(c.updates, revision)
}

// updatesAfterLocked returns how many updates were seen after a revision.
func (c *channel) updatesAfterLocked(revision uint64) uint64 {
	n := uint64(0)
	for _, r := range c.updates {
		if r > revision {
			n++
		}
	}
	return n
}

// stateLocked returns the state frame of the head.
func (c *channel) stateLocked(replaying uint64) frame {
	if c.state == nil || c.stateReplaying != replaying {
		c.state, c.stateReplaying = stateFrame(c.head, replaying), replaying
	}
	return c.state
}

// position returns the head's.
func (c *channel) position() replay.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.Cursor
}

// batch is what one commit means to subscribers.
type batch struct {
	frames []frame
	bytes  int
	// removed says that the last frame is the end of the ShareData.
	removed bool
	// reset says that a state is among the frames and that the history did not
	// continue to it.
	reset bool
}

// leave removes a subscriber. Nothing is handed to it afterwards.
func (c *channel) leave(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(s)
}

func (c *channel) addLocked(s *subscription) {
	s.index = len(c.subscribers)
	c.subscribers = append(c.subscribers, s)
}

func (c *channel) removeLocked(s *subscription) {
	if s.index >= len(c.subscribers) || c.subscribers[s.index] != s {
		return
	}
	last := len(c.subscribers) - 1
	c.subscribers[s.index] = c.subscribers[last]
	c.subscribers[s.index].index = s.index
	c.subscribers[last] = nil
	c.subscribers = c.subscribers[:last]
}
