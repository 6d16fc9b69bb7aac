package realtime

import (
	"slices"
	"sync"

	"github.com/safe-go/safe/replay"
)

// subscription is one connection's interest in one ShareData. Its peer is sent
// a state, then what it missed of the history, then what is committed, and no
// two of them ever mixed:
//
//	waiting    nothing has been sent
//	replaying  the state has been sent, and the replay is on its way; what is
//	           committed meanwhile is held back
//	live       what is committed is sent at once
//	ended      nothing is sent any more
//
// Its feed takes it from waiting to live. Anything may end it.
type subscription struct {
	session *session
	id      string
	since   string
	// lifecycle says that the peer wants updates among what is replayed.
	lifecycle bool

	index int // in channel.subscribers, guarded by channel.mu

	mu   sync.Mutex
	mode mode
	// channel is held until the subscription ends. The feed alone changes it.
	channel *channel
	held    []heldFrame
	begun   bool // a state has been sent
	// interrupted says that the history broke while it was replayed, so that
	// what has been sent leads nowhere.
	interrupted bool
	// removed says that the last of the held frames is the ShareData's end.
	removed bool
}

type mode int

const (
	waiting mode = iota
	replaying
	live
	ended
)

// heldFrame waits until the subscription is live. An answer to a proposal
// waits as well, because its proposer is to see the effect first; it is sent
// even if the subscription ends.
type heldFrame struct {
	frame  frame
	answer bool
}

// deliver hands over a commit. It is called with channel.mu held and returns
// false when the subscription is to leave the channel.
func (s *subscription) deliver(b batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode {
	case live:
		if !s.session.out.send(b.frames...) {
			return false
		}
		if b.removed {
			s.finishLocked()
		}
		return !b.removed
	case replaying:
		if b.reset {
			s.interrupted = true
		}
		if s.interrupted {
			return true // it begins again
		}
		s.removed = b.removed
		return s.holdLocked(b.bytes, false, b.frames...)
	}
	return false
}

// answer sends the answer to a proposal on this ShareData: after the effect of
// the proposal, which the channel handed over before. It returns false, and
// sends nothing, if the subscription has ended.
func (s *subscription) answer(f frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode {
	case ended:
		return false
	case live:
		s.session.out.send(f)
	default:
		s.holdLocked(len(f), true, f)
	}
	return true
}

func (s *subscription) holdLocked(bytes int, answers bool, frames ...frame) bool {
	if !s.session.out.hold(bytes) {
		return false
	}
	for _, f := range frames {
		s.held = append(s.held, heldFrame{f, answers})
	}
	return true
}

// releaseLocked queues what was held; only the answers, if so wanted.
func (s *subscription) releaseLocked(onlyAnswers bool) {
	bytes := 0
	frames := make([]frame, 0, len(s.held))
	for _, h := range s.held {
		bytes += len(h.frame)
		if h.answer || !onlyAnswers {
			frames = append(frames, h.frame)
		}
	}
	s.held = nil
	s.session.out.release(bytes, frames...)
}

// begin sends the state, and makes the subscription one of the channel's, at
// one position of the history: no entry is missed and none comes twice. first
// are replayed frames that follow since, as many as were read; problem says
// why they could not be. silence is asked how many of the missed entries up to
// a position the peer is not told of. It returns the last position to be
// replayed, zero if there is none and the subscription is live.
func (s *subscription) begin(first page, silence func(replay.Cursor) uint64, problem string) (last replay.Cursor, p progress, room <-chan struct{}) {
	c := s.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == ended:
		return last, finished, nil
	case c.ended && s.begun:
		s.releaseLocked(true)
		s.session.out.send(notResumedFrame(s.id, replayBroke), removedFrame(s.id))
		s.finishLocked()
		return last, finished, nil
	case c.ended:
		return last, gone, nil
	}
	r := resume(c.head.Cursor, s.since, s.session.server.options.ReplayWindow)
	if problem != "" {
		r = resumption{problem: problem}
	}
	if r.count > 0 && len(first.frames) == 0 {
		return last, unread, nil
	}
	count := r.count
	if count > 0 {
		count -= silence(c.head.Cursor)
	}
	frames := []frame{c.stateLocked(count)}
	if r.problem != "" {
		frames = append(frames, notResumedFrame(s.id, r.problem))
	}
	accepted, room := s.session.out.offer(frames...)
	if !accepted {
		return last, blockedOr(room), room
	}
	c.addLocked(s)
	s.begun, s.interrupted = true, false
	if count == 0 {
		s.mode = live
		s.releaseLocked(false)
		return last, finished, nil
	}
	s.mode = replaying
	return c.head.Cursor, onward, nil
}

// feed sends a part of the replay.
func (s *subscription) feed(frames []frame) (p progress, room <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == ended:
		return finished, nil
	case s.interrupted:
		return broken, nil
	}
	accepted, room := s.session.out.offer(frames...)
	if !accepted {
		return blockedOr(room), room
	}
	return onward, nil
}

// golive ends the replay.
func (s *subscription) golive() progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == ended:
		return finished
	case s.interrupted:
		return broken
	}
	s.releaseLocked(false)
	s.mode = live
	if s.removed {
		s.finishLocked()
	}
	return finished
}

// restart takes back what can be taken back after a replay broke off, so that
// the subscription may begin again without a cursor. The answers that are held
// stay.
func (s *subscription) restart() {
	c := s.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended {
		return
	}
	c.removeLocked(s)
	s.mode, s.removed = waiting, false
	dropped := 0
	s.held = slices.DeleteFunc(s.held, func(h heldFrame) bool {
		if !h.answer {
			dropped += len(h.frame)
		}
		return !h.answer
	})
	s.session.out.release(dropped)
}

// end makes the subscription send nothing any more.
func (s *subscription) end() {
	s.mu.Lock()
	if s.mode == ended {
		s.mu.Unlock()
		return
	}
	s.mode = ended
	s.releaseLocked(true)
	c := s.channel
	s.mu.Unlock()

	s.session.unqueue(s)
	s.session.out.wakeWaiters() // the feeder may be waiting on its behalf
	c.leave(s)
	c.hub.release(c)
}

// finishLocked is end for a ShareData that has ended itself.
func (s *subscription) finishLocked() {
	s.mode = ended
	s.session.forget(s)
	s.channel.hub.release(s.channel)
}

// move makes the subscription hold another channel, that of the ShareData
// which was created anew by its id.
func (s *subscription) move(to *channel) {
	s.mu.Lock()
	spare := to
	if s.mode != ended {
		spare, s.channel = s.channel, to
	}
	s.mu.Unlock()
	spare.hub.release(spare)
}

func blockedOr(room <-chan struct{}) progress {
	if room == nil {
		return finished
	}
	return blocked
}
