package realtime

import (
	"sync"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// subscription is one connection's subscription to one ShareData. Its peer is
// sent a state, then the replay of what it missed, then live frames, and these
// are never mixed:
//
//	pending    nothing has been sent
//	replaying  the state has been sent, and the replay is being sent; what is
//	           committed meanwhile is held
//	live       what is committed is sent at once
//	ended      nothing is sent any more
//
// Its catchUp takes it from pending to live. One that conflates goes back to pending
// when its connection is too slow. Any goroutine may end it. For the lock order see
// channel.
type subscription struct {
	session *session
	request wire.Subscribe // the ShareData, and what the subscriber asked for
	form    form

	index int // in channel.subscribers, guarded by channel.mu

	mu   sync.Mutex
	mode mode
	// rechecks counts the calls of AuthorizeSubscribe that are awaited: meanwhile
	// no state is sent, and what is committed is held. See Server.Reauthorize.
	rechecks int
	// channel is held until the subscription ends. The catchUp alone changes it.
	channel *channel
	held    []heldFrame
	// late are results that wait for effects which the channel holds.
	late []lateResult
	// stateSent says that a state has been sent.
	stateSent bool
	// interrupted says that the history was reset during the replay, so that
	// what has been replayed leads to no state.
	interrupted bool
	// removed says that a removal is among the held frames: no later commit follows.
	removed bool
	// behind says that commits are left out, and reached is the position before the
	// first commit that is held or left out, zero for none. Both are only set where
	// request.Conflate is.
	behind  bool
	reached replay.Cursor
}

type mode int

const (
	pending mode = iota
	replaying
	live
	ended
)

// heldFrame waits until the subscription is live. The result of a proposal
// waits as well, because its proposer is to be sent the effect first; it is sent
// even if the subscription ends.
type heldFrame struct {
	frame    *frame
	isResult bool
}

// lateResult is a result, and when it came.
type lateResult struct {
	frame *frame
	at    time.Time
}

// deliver hands over a commit. It is called with channel.mu held and returns
// false when the subscription is to leave the channel.
func (s *subscription) deliver(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.request.Conflate {
		return s.deliverOrSkip(b)
	}
	e := b.encodings.of(s.form)
	switch s.mode {
	case live:
		if s.rechecks > 0 {
			s.removed = b.removed
			return s.holdLocked(e.bytes, false, e.frames...)
		}
		if !s.session.out.send(e.frames...) {
			return false
		}
		if b.removed {
			s.endRemovedLocked()
		}
		return !b.removed
	case replaying:
		if b.reset {
			s.interrupted = true
		}
		if s.interrupted {
			return true // the catchUp begins again
		}
		s.removed = b.removed
		return s.holdLocked(e.bytes, false, e.frames...)
	}
	return false
}

// sendResult sends the result of a proposal on this ShareData: after the effect
// of the proposal, which the channel handed over before. It returns false, and
// sends nothing, if the subscription has ended.
func (s *subscription) sendResult(f *frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == ended:
		return false
	case s.channel.holding.Load():
		if s.session.out.hold(f.size()) {
			s.late = append(s.late, lateResult{f, time.Now()})
		}
	case s.mode == live && s.rechecks == 0:
		s.session.out.send(f)
	default:
		s.holdLocked(f.size(), true, f)
	}
	return true
}

// flushLocked sends what is held, unless it has to be held on.
func (s *subscription) flushLocked() {
	if !s.channel.holding.Load() {
		s.holdLateLocked(len(s.late))
	}
	if s.mode != live || s.rechecks > 0 {
		return
	}
	s.releaseLocked(false)
	if s.removed {
		s.endRemovedLocked()
	}
}

// holdLateLocked makes the first n of the late results follow what is held.
func (s *subscription) holdLateLocked(n int) {
	for _, result := range s.late[:n] {
		s.held = append(s.held, heldFrame{result.frame, true})
	}
	if s.late = s.late[n:]; len(s.late) == 0 {
		s.late = nil
	}
}

// releaseLate sends the results that came before a time: the channel has handed
// over what arrived before it. It sends all if the channel holds nothing any more.
func (s *subscription) releaseLate(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.late) && s.late[n].at.Before(before) {
		n++
	}
	s.holdLateLocked(n)
	s.flushLocked()
}

func (s *subscription) holdLocked(bytes int, isResult bool, frames ...*frame) bool {
	if !s.session.out.hold(bytes) {
		return false
	}
	s.appendHeldLocked(isResult, frames...)
	return true
}

func (s *subscription) appendHeldLocked(isResult bool, frames ...*frame) {
	for _, f := range frames {
		s.held = append(s.held, heldFrame{f, isResult})
	}
}

// releaseLocked queues the held frames, or only the results among them.
func (s *subscription) releaseLocked(onlyResults bool) {
	if onlyResults {
		s.holdLateLocked(len(s.late))
	}
	bytes := 0
	frames := make([]*frame, 0, len(s.held))
	for _, h := range s.held {
		bytes += h.frame.size()
		if h.isResult || !onlyResults {
			frames = append(frames, h.frame)
		}
	}
	s.held, s.reached = nil, replay.Cursor{}
	s.session.out.release(bytes, frames...)
}

// beginning is the outcome of subscription.begin.
type beginning int

const (
	beginDone      beginning = iota // the subscription is live, or has ended
	beginReplaying                  // the state was sent; the replay follows
	beginNoRoom                     // the outbox has no room at the moment
	beginUnread                     // entries are to be replayed, but no page was read
	beginRemoved                    // the ShareData was removed before a state was sent
)

// begin sends the state and makes the subscription one of the channel's, at one
// position of the history, so that no entry is missed and none comes twice.
// first is the first page of the replay; it is zero if none was read. problem
// says why nothing can be replayed. last is the position at which the replay
// ends, for beginReplaying; room is closed when it is worth trying again, for
// beginNoRoom.
func (s *subscription) begin(first page, problem string) (b beginning, last replay.Cursor, room <-chan struct{}) {
	c := s.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == ended:
		return beginDone, last, nil
	case s.rechecks > 0:
		if room = s.session.out.whenWoken(); room == nil {
			return beginDone, last, nil // the connection is closing
		}
		return beginNoRoom, last, room
	case c.ended && s.stateSent:
		s.releaseLocked(true)
		s.session.out.send(notResumedFrame(c.id, removedMeanwhile), removedFrame(c.id, s.form))
		s.endRemovedLocked()
		return beginDone, last, nil
	case c.ended:
		return beginRemoved, last, nil
	}
	r := resume(c.head.Cursor, s.request.Since, s.session.server.options.ReplayWindow)
	if problem != "" {
		r = resumption{problem: problem}
	}
	if r.count > 0 && first.isZero() {
		return beginUnread, last, nil
	}
	extras := r.extras(&s.request, s.form, first.unrecorded)
	if !s.stateSent {
		extras.correlationID = s.request.CorrelationID
	}
	frames := []*frame{c.stateLocked(extras)}
	if r.problem != "" {
		f := failure{code: codes.ReplayCursorNotFound, text: r.problem}
		frames = append(frames, f.refusalFrame(c.id, extras.correlationID))
	}
	accepted, room := s.session.out.offer(frames...)
	switch {
	case !accepted && room == nil:
		return beginDone, last, nil // the connection is closing
	case !accepted:
		return beginNoRoom, last, room
	}
	c.addLocked(s)
	s.stateSent, s.interrupted = true, false
	if r.count > 0 {
		s.mode = replaying
		return beginReplaying, c.head.Cursor, nil
	}
	s.mode = live
	s.flushLocked()
	return beginDone, last, nil
}

// sendReplayed sends a part of the replay. If it was not sent, room is closed
// when it is worth trying again; nil means never: the subscription has ended or
// was interrupted.
func (s *subscription) sendReplayed(frames []*frame) (sent bool, room <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended || s.interrupted {
		return false, nil
	}
	return s.session.out.offer(frames...)
}

// goLive ends the replay. It returns false if the subscription has ended or was
// interrupted.
func (s *subscription) goLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended || s.interrupted {
		return false
	}
	if s.behind {
		s.startSkippingLocked()
		return true
	}
	s.mode = live
	s.flushLocked()
	return true
}

// restart takes the subscription back to pending after its replay was
// interrupted, so that it may begin again without a cursor. The results that
// are held stay.
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
	s.mode, s.behind, s.reached = pending, false, replay.Cursor{}
	s.dropHeldLocked()
}

// end makes the subscription send nothing any more but the results that are
// held.
func (s *subscription) end() {
	if s.endWith() {
		s.leave()
	}
}

// endWith ends the subscription with some last frames, but leaves it in its channel.
// It returns false, and sends nothing, if the subscription had ended.
func (s *subscription) endWith(last ...*frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == ended {
		return false
	}
	s.mode = ended
	s.releaseLocked(true)
	s.session.out.send(last...)
	return true
}

// leave gives the channel back after the subscription has ended.
func (s *subscription) leave() {
	s.mu.Lock()
	c := s.channel
	s.mu.Unlock()
	s.session.out.wakeWaiters() // its catchUp may wait for room
	c.leave(s)
	c.hub.release(c)
}

func (s *subscription) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode == ended
}

// endRemovedLocked is end for a ShareData that was removed, after the peer was
// sent that.
func (s *subscription) endRemovedLocked() {
	s.mode = ended
	s.releaseLocked(true)
	s.session.remove(s)
	s.channel.hub.release(s.channel)
}

// rebind makes the subscription hold another channel, that of a ShareData which
// was re-created by the same id.
func (s *subscription) rebind(to *channel) {
	s.mu.Lock()
	released := to
	if s.mode != ended {
		released, s.channel = s.channel, to
	}
	s.mu.Unlock()
	released.hub.release(released)
}
