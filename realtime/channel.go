package realtime

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// channel hands what is committed to one ShareData to every subscription to it.
// It exists while there is one, and observes the manager. Each frame is encoded
// once; subscriptions get it by reference, a whole commit at a time.
//
// # From commit to socket
//
// The manager calls Observe inside the section that orders the ShareData's
// commits. The frames go from the channel to each subscription, and from there
// to the outbox of its connection; a writer takes them from the outbox to the
// socket, without any of these locks. So nothing in Observe may block.
//
// This is the lock order of the package. A lock is only taken while locks to
// the left of it are held, or none:
//
//	manager's hand-over section -> channel.mu -> subscription.mu -> session.mu -> a leaf
//
// The leaves are outbox.mu, hub.mu, replayCache.mu, waitGroup.mu, alarms.mu, revocationList.mu,
// revocationLease.mu, admission.mu, poller.mu, frameFiles.mu and Server.mu: while one of them is
// held, no other lock is taken, but goroutines.mu with outbox.mu held.
// The hand-over section of RevocationsID is held while sessions are ended, so
// the locks of all other channels come after it.
type channel struct {
	hub *hub
	id  string

	// opened is closed when the manager has replied; err and stop are set
	// before that.
	opened chan struct{}
	err    error
	stop   func()

	holders int // guarded by hub.mu

	replays replayCache // has a lock of its own

	// holding says that commits are held, and the results of proposals with them.
	// It is written with mu held.
	holding atomic.Bool

	// removed is closed when the ShareData was removed.
	removed chan struct{}

	mu   sync.Mutex
	head sharedata.Snapshot
	// early are events that came before the snapshot that they follow.
	early       []sharedata.Event
	attached    bool // head is set
	failed      bool // head will not be set
	ended       bool // the ShareData was removed: no subscription can begin
	held        heldCommits
	results     []heldResult
	subscribers []*subscription
	// encodings are the forms that subscribers have, and the frames of a commit while it
	// is handed over.
	encodings encodings
	// removal is the last event, where ended is set.
	removal sharedata.Event
	// state is the frame of head with these extras: many subscriptions may begin at
	// the same position.
	state       *frame
	stateExtras stateExtras
}

func newChannel(h *hub, id string) *channel {
	return &channel{
		hub: h, id: id, opened: make(chan struct{}), removed: make(chan struct{}),
		replays: replayCache{total: &h.replayBytes},
	}
}

// attach sets the snapshot at which the channel joined the manager's events.
func (c *channel) attach(at sharedata.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.attached = at, true
	early := c.early
	c.early = nil
	if len(early) > 0 {
		c.receiveLocked(early)
	}
	if !c.holding.Load() {
		c.releaseResultsLocked(time.Time{}, true)
	}
}

// fail releases what waits for the snapshot, which does not come.
func (c *channel) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.early, c.failed = nil, true
	c.releaseResultsLocked(time.Time{}, true)
}

// Observe is called by the manager with each commit, in order.
func (c *channel) Observe(events []sharedata.Event) {
	if events[len(events)-1].Type == sharedata.EntryRemoved {
		c.hub.drop(c) // a later subscribe gets the channel of what comes after
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failed:
		return
	case !c.attached:
		c.early = append(c.early, events...)
		return
	}
	c.receiveLocked(events)
}

// applyLocked moves the head over the events and hands their frames to the
// subscriptions.
func (c *channel) applyLocked(events []sharedata.Event) {
	b := batch{before: c.head.Cursor, encodings: c.encodings}
	for i := range events {
		event := &events[i]
		switch {
		case event.Type == sharedata.EntryRemoved:
			b.removed, c.ended, c.removal = true, true, *event
			close(c.removed)
		case event.Reset:
			b.reset = true
			c.head.Cursor, c.head.State, c.head.StateHash, c.head.LastTransaction = event.Cursor, event.State, event.StateHash, event.LastTransaction
		default:
			c.head.Cursor, c.head.State, c.head.StateHash = event.Cursor, event.State, event.StateHash
			if event.Type == sharedata.EntryTransaction {
				c.head.LastTransaction = event.Cursor
			}
		}
		c.state = nil
		for i := range c.encodings {
			if e := &c.encodings[i]; e.subscribers > 0 {
				before := len(e.frames)
				e.frames = c.appendFramesLocked(e.frames, event, e.form)
				for _, f := range e.frames[before:] {
					c.shareLocked(f, e.subscribers)
				}
			}
		}
	}
	for i := range c.encodings {
		c.encodings[i].bytes = size(c.encodings[i].frames)
	}
	b.stateBytes = len(c.head.State)
	// Backwards, because a subscription that leaves is replaced by the last one.
	for i := len(c.subscribers) - 1; i >= 0; i-- {
		if s := c.subscribers[i]; !s.deliver(&b) {
			c.removeLocked(s)
		}
	}
	for i := range c.encodings {
		e := &c.encodings[i]
		clear(e.frames)
		if e.frames = e.frames[:0]; e.subscribers == 0 {
			e.frames = nil
		}
	}
}

// manySubscribers is from how many on the writers of a frame are bulk (goroutines).
const manySubscribers = 64

// shareLocked prepares a frame that so many subscribers are sent.
func (c *channel) shareLocked(f *frame, subscribers int) {
	if f.about != &nothing {
		f.bulk = subscribers >= manySubscribers
		c.hub.files.share(f, subscribers)
	}
}

// appendFramesLocked appends the frames of an event that the head has moved over.
func (c *channel) appendFramesLocked(frames []*frame, event *sharedata.Event, f form) []*frame {
	if event.Reset && event.Type != sharedata.EntryRemoved {
		return append(frames, c.stateLocked(stateExtras{announce: true, withHash: f.has(withPatches), protocol: f.protocol}), notResumedFrame(c.id, historyReset))
	}
	if live := liveFrame(event, f); live != nil {
		frames = append(frames, live)
	}
	return frames
}

// historyReset is the problem of a subscriber whose history was replaced.
const historyReset = "the history did not continue; what was missed is not known, the state is current"

// stateLocked returns the state frame of the head.
func (c *channel) stateLocked(extras stateExtras) *frame {
	if c.state == nil || c.stateExtras != extras {
		c.state, c.stateExtras = stateFrame(c.head, extras), extras
	}
	return c.state
}

// position returns the head's.
func (c *channel) position() replay.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.Cursor
}

// live returns how many subscriptions are handed commits.
func (c *channel) live() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subscribers)
}

// batch is one commit as subscriptions get it.
type batch struct {
	// encodings has the frames in each form that a subscriber has. They are the
	// channel's: subscriptions keep the frames, not the slices.
	encodings encodings
	// before is the position before the commit, and stateBytes the size of the
	// state after it.
	before     replay.Cursor
	stateBytes int
	// removed says that the last frame is the removal of the ShareData.
	removed bool
	// reset says that a state is among the frames and that the history did not
	// continue to it.
	reset bool
}

// leave removes a subscription. Nothing is handed to it afterwards.
func (c *channel) leave(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(s)
}

func (c *channel) addLocked(s *subscription) {
	s.index = len(c.subscribers)
	c.subscribers = append(c.subscribers, s)
	c.encodings.of(s.form).subscribers++
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
	c.encodings.of(s.form).subscribers--
}
