package client

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

// This file decides, without goroutine, clock or socket, what the frames of
// one ShareData mean to its subscriber: which events they are, and whether a
// reconnect resumed or left a gap.
//
// A round begins with a subscribe and ends with the connection, an unsubscribe
// or the next subscribe. Its phases:
//
//	requested     -> state                    snapshot, resumed or a gap: live
//	                                          resumed, frames follow:     replaying
//	                                          not known yet:              deciding
//	deciding      -> replayed frame           resumed:                    replaying
//	              -> replay-cursor-not-found  a gap:                      live
//	              -> barrier                  resumed, nothing to replay: live
//	replaying     -> last replayed frame      if no frame is held:        live
//	              -> barrier                                              live
//	              -> replay-cursor-not-found  a gap after all:            awaitingState
//	awaitingState -> state                    snapshot:                   live
//
// A server of this project says in the state frame how many replayed frames
// follow, so nothing has to be guessed. Another server may have nothing to replay
// and be silent, or have lost the cursor and say so later. For such a server the
// client sends a ping behind the state, the barrier: what the server replays, it
// sends before the pong.
//
// A round has patches where the client asked for them and the state frame has a
// stateHash: other servers ignore the question. Frames then say what changed, and a
// state frame without a state says that the subscriber has it.

// item is an event, the state that it carries, and the position after it.
type item struct {
	event Event
	state *lazyState // nil: the event carries none
	after position
	size  int // of the event in the buffer, in bytes
}

type phase int

const (
	idle          phase = iota // no round; all frames belong to an earlier one
	requested                  // the subscribe is sent, and not answered
	awaitingState              // a Gap was delivered, and its state is to come
	deciding
	replaying
	live
)

// catchUp is the state of one subscription's round. Its methods are called with
// the client's lock held.
type catchUp struct {
	shareDataID string
	asked       features
	phase       phase
	// patched: the round has patches.
	patched bool
	// position is the one after the last event of the round.
	position position
	// snapshot is the round's state frame and snapshotAt its position, until the round is
	// live. Where counted, remaining is how many replayed frames are still to come.
	snapshot   *wire.State
	snapshotAt position
	counted    bool
	remaining  uint64
	// since is the cursor in the subscribe. certain is false while the outcome is
	// unknown, or known from a barrier only.
	since   string
	certain bool
	// head is where the server says that the ShareData stands; nil before the state of
	// the round. It may be ahead of position, and proofs are for it.
	head *head
	// deliveredLive: a live frame of this round was delivered.
	deliveredLive bool
	// held are live frames that wait for the outcome, or for the end of a replay
	// of unknown length, which may contain them too.
	held []wire.ServerMessage
}

// features are the optional parts of the protocol that a subscribe asks for.
type features struct{ patches, conflate, activity bool }

// maxHeld bounds catchUp.held. One frame more has the effect of a barrier.
const maxHeld = 256

// step is the effect of one frame.
type step struct {
	items []item
	// barrier: send a ping, and call barrierPassed when its pong arrives.
	barrier bool
	// resubscribe: the frames are not what the server promised; begin another
	// round, if later is set after a while. The last item, if there is one, is a Gap.
	resubscribe, later bool
	// removed: the ShareData does not exist any more.
	removed bool
}

// begin begins a round at from and returns the cursor to subscribe with.
func (u *catchUp) begin(from position) (since string) {
	*u = catchUp{shareDataID: u.shareDataID, asked: u.asked, phase: requested, position: from, since: from.cursor}
	return from.cursor
}

// stop ends the round.
func (u *catchUp) stop() { *u = catchUp{shareDataID: u.shareDataID, asked: u.asked} }

// receive applies a state, transaction or lifecycle frame.
func (u *catchUp) receive(frame wire.ServerMessage) step {
	s := u.apply(frame)
	u.moveHead(frame)
	if u.phase == live {
		u.snapshot, u.snapshotAt = nil, position{} // They hold a state.
	}
	return s
}

func (u *catchUp) apply(frame wire.ServerMessage) step {
	switch frame := frame.(type) {
	case *wire.State:
		return u.applySnapshot(frame)
	case *wire.Transaction:
		if frame.Replayed {
			return u.applyReplayed(frame)
		}
		return u.applyLive(frame)
	case *wire.Lifecycle:
		switch {
		case frame.Event == wire.EventRemoved:
			return u.applyRemoval(frame)
		case frame.Replayed:
			return u.applyReplayed(frame)
		}
		return u.applyLive(frame)
	}
	return step{}
}

// applySnapshot reads from the snapshot whether the round resumes, as far as the
// snapshot says so. A server that cannot finish a replay sends another snapshot;
// the round then goes on from its position.
func (u *catchUp) applySnapshot(snapshot *wire.State) step {
	switch {
	case u.phase == idle, u.phase == requested && snapshot.Skipped > 0:
		return step{} // Of the round before: no snapshot that skips begins a round.
	case len(u.held) > 0:
		return u.broken("the server began again")
	case snapshot.CurrentState == nil && !u.resumes(snapshot):
		s := u.broken("the server sent no state")
		s.later = true
		return s
	}
	skips := u.skips(snapshot)
	u.counted, u.remaining, u.deliveredLive = false, 0, false
	u.patched = u.asked.patches && snapshot.StateHash != ""
	u.snapshot, u.snapshotAt = snapshot, u.positionAt(snapshot)
	u.certain = true
	switch from := u.position; {
	case !from.known, skips:
		u.phase, u.position = live, u.snapshotAt
		it := u.stateItem(false)
		if skips {
			it.event.(*State).Skipped = snapshot.Skipped
		}
		return step{items: []item{it}}
	case from.cursor == u.snapshotAt.cursor:
		u.phase, u.position = live, u.snapshotAt
		return step{items: []item{u.stateItem(true)}}
	case from.cursor == "":
		return u.gap("the server named no cursor to resume from")
	case snapshot.HasReplaying && snapshot.Replaying > 0 &&
		(from.revision == 0 || from.revision < snapshot.Revision):
		u.phase, u.counted, u.remaining = replaying, true, snapshot.Replaying
		return step{items: []item{u.stateItem(true)}}
	case snapshot.HasReplaying:
		return u.gap("the server could not replay from the cursor")
	default:
		u.phase, u.certain, u.patched = deciding, false, false
		return step{barrier: true}
	}
}

// mayConcern reports whether a replay-cursor-not-found without a ShareData id may
// be about this round.
func (u *catchUp) mayConcern() bool { return u.phase >= deciding && !u.certain }

// cursorNotFound applies the error frame that says that the server cannot replay.
func (u *catchUp) cursorNotFound(message string) step {
	switch {
	case u.phase == deciding:
		u.certain = true
		return u.gap(message)
	case u.mayConcern():
		// The error came after the pong: the round has not resumed.
		return u.broken(message)
	case u.phase == replaying && u.counted:
		// The rest of the replay does not come. A state or the end follows.
		gap := u.gapItem(message)
		u.phase, u.position = awaitingState, position{}
		return step{items: []item{gap}}
	}
	return step{}
}

// barrierPassed applies the pong of the barrier: all that the server replays has
// been received.
func (u *catchUp) barrierPassed() step {
	switch {
	case u.phase == deciding:
		u.phase = live
		u.position.state = nil // The snapshot's need not be that at the cursor.
		return u.release(step{items: []item{u.stateItem(true)}})
	case u.phase == replaying && !u.counted:
		u.phase = live
		return u.release(step{})
	}
	return step{}
}

// applyReplayed applies a frame about a change before the snapshot.
func (u *catchUp) applyReplayed(frame wire.ServerMessage) (s step) {
	switch {
	case u.phase < deciding:
		return step{}
	case u.phase == deciding:
		u.phase = replaying
		s.items = append(s.items, u.stateItem(true))
	case u.phase == live && u.deliveredLive && !u.counted:
		return u.broken("the server replayed after it had gone on")
	}
	u.certain = true
	u.dropHeld(frame)
	s = u.deliver(frame, s)
	if u.phase != replaying {
		return s
	}
	_, cursor := positionOf(frame)
	if u.counted {
		u.remaining--
	}
	switch {
	case u.counted && u.remaining == 0:
		u.phase = live
		u.reachSnapshot(s.items)
	case !u.counted && cursor == u.snapshotAt.cursor && len(u.held) == 0:
		u.phase = live
	}
	return s
}

// applyLive applies a frame about a change after the snapshot.
func (u *catchUp) applyLive(frame wire.ServerMessage) step {
	switch {
	case u.phase < awaitingState:
		return step{}
	case u.phase == awaitingState:
		u.stop()
		return step{resubscribe: true}
	case u.phase == live:
		return u.deliver(frame, step{})
	case u.counted:
		// Fewer frames were replayed than announced. If one is missing, deliver
		// sees it by the revision.
		u.phase = live
		return u.deliver(frame, step{})
	}
	u.held = append(u.held, frame)
	if len(u.held) > maxHeld {
		return u.barrierPassed()
	}
	return step{}
}

// applyRemoval applies the end of the ShareData.
func (u *catchUp) applyRemoval(frame *wire.Lifecycle) step {
	if u.phase < awaitingState {
		return step{}
	}
	s := u.barrierPassed()
	if s.resubscribe {
		return s
	}
	s.items = append(s.items, item{event: u.eventOf(frame)})
	s.removed = true
	u.stop()
	return s
}

// deliver adds the frame's event to the step, unless it was delivered before. A
// frame that does not follow the one before ends the round.
func (u *catchUp) deliver(frame wire.ServerMessage, s step) step {
	revision, cursor := positionOf(frame)
	switch before := u.position; {
	case revision != 0 && before.revision != 0:
		if revision <= before.revision {
			return s
		}
		if revision > before.revision+1 {
			broken := u.broken(fmt.Sprintf("revision %d came after %d", revision, before.revision))
			s.items, s.resubscribe = append(s.items, broken.items...), true
			return s
		}
	case cursor != "" && cursor == before.cursor:
		return s
	}
	state := u.stateAfter(frame)
	u.position.state = state
	if cursor == "" {
		u.position.state = nil // The cursor is that of another state.
	} else {
		u.position.cursor = cursor
	}
	if _, ok := frame.(*wire.Transaction); ok {
		u.position.lastTransactionID = cursor
	}
	u.position.revision = revision
	u.deliveredLive = u.deliveredLive || u.phase == live && !isReplayed(frame)
	s.items = append(s.items, item{event: u.eventOf(frame), state: state, after: u.position})
	return s
}

// release delivers the held frames.
func (u *catchUp) release(s step) step {
	held := u.held
	u.held = nil
	for _, frame := range held {
		if s = u.deliver(frame, s); s.resubscribe {
			break
		}
	}
	return s
}

// dropHeld drops the held live frame that is also replayed.
func (u *catchUp) dropHeld(replayed wire.ServerMessage) {
	_, cursor := positionOf(replayed)
	for i, frame := range u.held {
		if _, held := positionOf(frame); held != "" && held == cursor {
			u.held = append(u.held[:i:i], u.held[i+1:]...)
			return
		}
	}
}

// gap delivers a Gap and then the snapshot.
func (u *catchUp) gap(reason string) step {
	gap := u.gapItem(reason)
	u.phase, u.position = live, u.snapshotAt
	return u.release(step{items: []item{gap, u.stateItem(false)}})
}

// broken ends the round, because its frames are not what the server promised, with a
// Gap unless nothing was delivered.
func (u *catchUp) broken(reason string) step {
	s := step{resubscribe: true}
	if u.position.known {
		s.items = []item{u.gapItem(reason)}
	}
	u.stop()
	return s
}

func (u *catchUp) gapItem(reason string) item {
	return item{event: &Gap{ShareDataID: u.shareDataID, Cursor: u.position.cursor, Reason: reason}}
}

// stateItem is the snapshot as an event. Before a replay the position does not
// move. Where the snapshot has no state, it is the subscriber's, and so is its position.
func (u *catchUp) stateItem(resumed bool) item {
	at := u.snapshotAt
	if at.state == nil {
		at = u.position
		if at.revision == 0 && u.snapshot.Revision > u.remaining {
			at.revision = u.snapshot.Revision - u.remaining
		}
	}
	return item{state: at.state, after: u.position, event: &State{
		ShareDataID:       u.shareDataID,
		CurrentState:      u.snapshot.CurrentState,
		Cursor:            at.cursor,
		Revision:          at.revision,
		LastTransactionID: at.lastTransactionID,
		Resumed:           resumed,
		Replaying:         u.remaining,
	}}
}
