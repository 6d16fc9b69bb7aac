package realtime

import (
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// heldCommits are the commits that a channel holds, because the server may not
// know yet of revocations that came before them; see revocationLease.
type heldCommits struct {
	commits []heldCommit
	bytes   int
}

type heldCommit struct {
	events  []sharedata.Event
	arrived time.Time
}

// maxHeldBytes bounds the commits that one channel holds, by their states, their
// patches, what was proposed, and heldOverhead for each. Beyond that, subscribers get
// the last state instead.
const (
	maxHeldBytes = 4 << 20
	heldOverhead = 512
)

func heldBytes(events []sharedata.Event) (bytes int) {
	for i := range events {
		e := &events[i]
		bytes += len(e.State) + len(e.Patch) + len(e.Data) + len(e.Proof) + len(e.Details) + heldOverhead
	}
	return bytes
}

// add holds a commit. last is the position of the newest transaction before what
// is held.
func (h *heldCommits) add(events []sharedata.Event, last replay.Cursor) {
	now := time.Now()
	h.commits = append(h.commits, heldCommit{events, now})
	h.bytes += heldBytes(events)
	if h.bytes > maxHeldBytes && len(h.commits) > 1 {
		var all []sharedata.Event
		for _, c := range h.commits {
			all = append(all, c.events...)
		}
		one := []sharedata.Event{collapse(all, last)}
		h.commits, h.bytes = []heldCommit{{one, now}}, heldBytes(one)
	}
}

// take removes the commits that arrived before a time, or all.
func (h *heldCommits) take(before time.Time, all bool) (events []sharedata.Event) {
	n := 0
	for ; n < len(h.commits) && (all || h.commits[n].arrived.Before(before)); n++ {
		events = append(events, h.commits[n].events...)
		h.bytes -= heldBytes(h.commits[n].events)
	}
	h.commits = h.commits[n:]
	return events
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
		Entry: sharedata.Entry{ShareDataID: end.ShareDataID, Cursor: end.Cursor, StateHash: end.StateHash},
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
	case c.hub.lease.isValid():
		c.applyLocked(events)
		return
	default:
		c.holding.Store(true)
		c.hub.lease.addWaiting(c)
	}
	c.held.add(events, c.head.LastTransaction)
}

// heldResult is the result of a proposal of a session without a subscription.
type heldResult struct {
	session *session
	lateResult
}

// holdResult holds a result while commits are held, or come before the snapshot that
// they follow. It returns false otherwise.
func (c *channel) holdResult(s *session, f *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.holding.Load() && len(c.early) == 0 {
		return false
	}
	if s.out.hold(f.size()) {
		c.results = append(c.results, heldResult{s, lateResult{f, time.Now()}})
	}
	return true
}

// releaseResultsLocked sends the results that came before a time, or all.
func (c *channel) releaseResultsLocked(before time.Time, all bool) {
	for len(c.results) > 0 && (all || c.results[0].at.Before(before)) {
		r := c.results[0]
		c.results = c.results[1:]
		r.session.out.release(r.frame.size(), r.frame)
	}
}

// releaseHeld hands over held commits after a confirmation that began at
// confirmedAt: those that arrived before that, and the others if it is still valid.
func (c *channel) releaseHeld(confirmedAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.hub.lease.isValid()
	if events := c.held.take(confirmedAt, all); len(events) > 0 {
		c.applyLocked(events)
	}
	if all {
		c.held = heldCommits{}
		c.holding.Store(false)
	} else {
		c.hub.lease.addWaiting(c)
	}
	for _, s := range c.subscribers {
		s.releaseLate(confirmedAt)
	}
	c.releaseResultsLocked(confirmedAt, all)
}
