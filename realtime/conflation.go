package realtime

import (
	"slices"

	"github.com/safe-go/safe/replay"
)

// This file is the conflation of a subscription that asked for it (conflate).
// While the connection is too slow, entries are left out; then one state takes
// their place, which says how many they were (skipped), at the position that the
// channel has when it is queued. So what waits for such a subscription is
// bounded, and its peer is never further behind than by what it has not read.

// conflationBytes is how much may wait for a connection, at least, before entries
// are left out.
const conflationBytes = 64 << 10

// conflationLimit is how much may wait when a commit is queued: about as much as the
// state that would take its place, because less would only cost entries, and at
// most half of the send buffer, so that the rest is left to others.
func (s *subscription) conflationLimit(stateBytes int) int {
	return min(max(conflationBytes, stateBytes), s.session.out.limit/2)
}

// deliverOrSkip is deliver for a subscription that conflates.
func (s *subscription) deliverOrSkip(b *batch) bool {
	switch {
	case s.mode != live && s.mode != replaying:
		return false
	case s.mode == replaying && (s.interrupted || b.reset):
		s.interrupted = true
		return true // the catchUp begins again
	}
	e, limit := b.encodings.of(s.form), s.conflationLimit(b.stateBytes)
	if s.mode == live && s.rechecks == 0 {
		if s.session.out.sendWithin(limit, e.frames...) {
			if b.removed {
				s.endRemovedLocked()
			}
			return !b.removed
		}
		s.reached = b.before
	} else {
		if s.reached.IsZero() {
			s.reached = b.before
		}
		if s.session.out.holdWithin(limit, e.bytes) {
			s.appendHeldLocked(false, e.frames...)
			s.removed = b.removed
			return true
		}
	}
	s.behind = true
	s.dropHeldLocked()
	if s.mode == live {
		s.startSkippingLocked()
	} // otherwise goLive does, at the end of the replay
	return false
}

// dropHeldLocked drops what is held, except for the results.
func (s *subscription) dropHeldLocked() {
	dropped := 0
	s.held = slices.DeleteFunc(s.held, func(h heldFrame) bool {
		if !h.isResult {
			dropped += h.frame.size()
		}
		return !h.isResult
	})
	s.removed = false
	s.session.out.release(dropped)
}

// startSkippingLocked starts the goroutine that sends the state when what was
// queued has been written.
func (s *subscription) startSkippingLocked() {
	s.mode = pending
	mark := s.session.out.mark()
	s.session.server.spawn(s.session, func() {
		event := SkipEvent{ShareDataID: s.request.ShareDataID}
		sent, room := s.sendSkipped(mark, &event)
		for ; room != nil; sent, room = s.sendSkipped(mark, &event) {
			<-room
		}
		if sent {
			event.Connection = s.session.connection()
			notify(s.session.server, s.session.server.options.Observer.OnSkip, event)
		}
	})
}

// sendSkipped sends the state in place of the entries that were left out and makes
// the subscription live, as soon as what was queued up to the mark is written. If it
// has to be called again, room is closed when that is worth it. It sets in the event how
// many they were.
func (s *subscription) sendSkipped(mark uint64, event *SkipEvent) (sent bool, room <-chan struct{}) {
	c := s.channel // the catchUp, which alone changes it, is done
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.session.out
	switch {
	case s.mode == ended:
		return false, nil
	case s.rechecks > 0:
		return false, out.whenWoken()
	}
	if written, room := out.whenWritten(mark); !written {
		return false, room
	}
	frames, skipped := s.skippedFramesLocked()
	accepted, room := out.offer(frames...)
	switch {
	case !accepted:
		return false, room
	case c.ended:
		s.endRemovedLocked()
		return false, nil
	}
	event.Entries = skipped
	c.addLocked(s)
	s.behind, s.reached = false, replay.Cursor{}
	s.mode = live
	s.flushLocked()
	return true, nil
}

// skippedFramesLocked returns what takes the place of the entries that were left
// out, and how many they were. A removal is never left out. channel.mu is held too.
func (s *subscription) skippedFramesLocked() (frames []*frame, skipped uint64) {
	c := s.channel
	extras := resumption{}.extras(&s.request, s.form, false)
	switch at := c.head.Cursor; {
	case at == s.reached: // the removal alone was left out
	case at.Epoch == s.reached.Epoch && at.Revision > s.reached.Revision:
		extras.skipped = at.Revision - s.reached.Revision
		frames = append(frames, c.stateLocked(extras))
	default:
		frames = append(frames, c.stateLocked(extras), notResumedFrame(c.id, historyReset))
	}
	if c.ended {
		frames = append(frames, liveFrame(&c.removal, s.form))
	}
	return frames, extras.skipped
}
