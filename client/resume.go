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
// or the next subscribe:
//
//	asked     -> state                       snapshot, resumed or a gap: live
//	                                         resumed, frames to come:    replaying
//	                                         cannot tell yet:            deciding
//	deciding  -> replayed frame              resumed:                    replaying
//	          -> replay-cursor-not-found     a gap:                      live
//	          -> fence                       resumed, nothing to replay: live
//	replaying -> last replayed frame         and nothing is held:        live
//	          -> fence                                                   live
//	          -> replay-cursor-not-found     a gap after all:            gapped
//	gapped    -> state                       snapshot:                   live
//
// A server of this project says in the state frame how many replayed frames
// follow, so nothing has to be guessed. One that does not say so may have
// nothing to replay and be silent, or have lost the cursor and say so later:
// then a ping goes out behind the state, and its pong is the fence.

// position is a point in the history of one ShareData as a client knows it.
// The zero position is the one before the first snapshot and after a Gap:
// there is nothing to resume from, and nobody expects it.
type position struct {
	known    bool
	cursor   string // empty where the server named none
	revision uint64 // 0 where the server named none
}

// item is an event and the position after it.
type item struct {
	event Event
	after position
}

type phase int

const (
	idle phase = iota // no subscribe under way; every frame is a stale one
	asked
	gapped // a gap was told, and its state is still to come
	deciding
	replaying
	live
)

// tracker follows one ShareData. Every method belongs to the goroutine that
// holds the client's lock.
type tracker struct {
	shareDataID string
	phase       phase
	// position is where the round has got to.
	position position
	// snapshot is the round's state frame; its position; and how many replayed
	// frames are still to come where counted.
	snapshot *wire.State
	at       position
	counted  bool
	left     uint64
	// since is the cursor that was sent, and certain says that the outcome does
	// not rest on a fence alone.
	since   string
	certain bool
	// sawLive says that a live frame of this round was handed out.
	sawLive bool
	// held are live frames that wait for the outcome, or for the end of a
	// replay whose length is not known: they may be in it, too.
	held []wire.ServerMessage
}

// maxHeld bounds tracker.held. Beyond it the outcome is taken as a fence would
// have it.
const maxHeld = 256

// step is what one frame led to.
type step struct {
	items []item
	// fence asks for a ping whose pong is reported with fenced.
	fence bool
	// restart asks for another subscribe: the frames are not what was
	// promised, and the last item is a Gap.
	restart bool
	// removed says that the ShareData is gone.
	removed bool
}

// ask begins a round at from and returns the cursor to send along.
func (t *tracker) ask(from position) (since string) {
	*t = tracker{shareDataID: t.shareDataID, phase: asked, position: from, since: from.cursor}
	return from.cursor
}

// stop ends the round.
func (t *tracker) stop() { *t = tracker{shareDataID: t.shareDataID} }

// receive takes a state, transaction or lifecycle frame.
func (t *tracker) receive(frame wire.ServerMessage) step {
	switch frame := frame.(type) {
	case *wire.State:
		return t.begin(frame)
	case *wire.Transaction:
		if frame.Replayed {
			return t.replay(frame)
		}
		return t.liveFrame(frame)
	case *wire.Lifecycle:
		switch {
		case frame.Event == wire.EventRemoved:
			return t.remove(frame)
		case frame.Replayed:
			return t.replay(frame)
		}
		return t.liveFrame(frame)
	}
	return step{}
}

// begin reads the outcome from the snapshot, as far as it is written there. A
// server that cannot finish a replay sends another snapshot, which is judged
// from where the round has got to.
func (t *tracker) begin(snapshot *wire.State) step {
	switch {
	case t.phase == idle:
		return step{}
	case len(t.held) > 0:
		return t.broken("the server began again")
	}
	t.counted, t.left, t.sawLive = false, 0, false
	t.snapshot = snapshot
	t.at = position{known: true, cursor: snapshot.Cursor, revision: snapshot.Revision}
	if t.at.cursor == "" {
		t.at.cursor = snapshot.LastTransactionID
	}
	t.certain = true
	switch from := t.position; {
	case !from.known:
		t.phase, t.position = live, t.at
		return step{items: []item{t.state(false)}}
	case from.cursor == t.at.cursor:
		t.phase, t.position = live, t.at
		return step{items: []item{t.state(true)}}
	case from.cursor == "":
		return t.gap("the server named no cursor to resume from")
	case snapshot.HasReplaying && snapshot.Replaying > 0 &&
		(from.revision == 0 || from.revision < snapshot.Revision):
		t.phase, t.counted, t.left = replaying, true, snapshot.Replaying
		return step{items: []item{t.state(true)}}
	case snapshot.HasReplaying:
		return t.gap("the server could not replay from the cursor")
	default:
		t.phase, t.certain = deciding, false
		return step{fence: true}
	}
}

// undecided reports whether a word that the cursor was not found may be about
// this round, though it does not say so.
func (t *tracker) undecided() bool { return t.phase >= deciding && !t.certain }

// cursorNotFound takes the server's word that it cannot replay.
func (t *tracker) cursorNotFound(message string) step {
	switch {
	case t.phase == deciding:
		t.certain = true
		return t.gap(message)
	case t.undecided():
		// The fence was too early: what was taken for resumed was not.
		return t.broken(message)
	case t.phase == replaying && t.counted:
		// The rest of the replay does not come. A state or the end follows.
		missed := t.missed(message)
		t.phase, t.position = gapped, position{}
		return step{items: []item{missed}}
	}
	return step{}
}

// fenced takes it that whatever the server had to replay has been received.
func (t *tracker) fenced() step {
	switch {
	case t.phase == deciding:
		t.phase = live
		return t.release(step{items: []item{t.state(true)}})
	case t.phase == replaying && !t.counted:
		t.phase = live
		return t.release(step{})
	}
	return step{}
}

// replay takes a frame of what happened before the snapshot.
func (t *tracker) replay(frame wire.ServerMessage) (s step) {
	switch {
	case t.phase < deciding:
		return step{}
	case t.phase == deciding:
		t.phase = replaying
		s.items = append(s.items, t.state(true))
	case t.phase == live && t.sawLive && !t.counted:
		return t.broken("the server replayed after it had gone on")
	}
	t.certain = true
	t.dropHeld(frame)
	s = t.take(frame, s)
	if t.phase != replaying {
		return s
	}
	_, cursor := numbers(frame)
	if t.counted {
		t.left--
	}
	switch {
	case t.counted && t.left == 0:
		t.phase = live
		if t.position.revision < t.at.revision && len(s.items) > 0 {
			// The revisions up to the snapshot are such as no frame tells of.
			t.position = t.at
			s.items[len(s.items)-1].after = t.at
		}
	case !t.counted && cursor == t.at.cursor && len(t.held) == 0:
		t.phase = live
	}
	return s
}

// liveFrame takes a frame of what happened after the snapshot.
func (t *tracker) liveFrame(frame wire.ServerMessage) step {
	switch {
	case t.phase < gapped:
		return step{}
	case t.phase == gapped:
		t.stop()
		return step{restart: true}
	case t.phase == live:
		return t.take(frame, step{})
	case t.counted:
		// Fewer frames were replayed than announced. If one is missing, the
		// revision of this one shows it.
		t.phase = live
		return t.take(frame, step{})
	}
	t.held = append(t.held, frame)
	if len(t.held) > maxHeld {
		return t.fenced()
	}
	return step{}
}

// remove takes the end of the ShareData.
func (t *tracker) remove(frame *wire.Lifecycle) step {
	if t.phase < gapped {
		return step{}
	}
	s := t.fenced()
	if s.restart {
		return s
	}
	s.items = append(s.items, item{event: eventOf(frame)})
	s.removed = true
	t.stop()
	return s
}

// take adds a frame to what is handed out, unless it was handed out before. A
// frame that does not follow the one before it breaks the round off.
func (t *tracker) take(frame wire.ServerMessage, s step) step {
	revision, cursor := numbers(frame)
	switch before := t.position; {
	case revision != 0 && before.revision != 0:
		if revision <= before.revision {
			return s
		}
		if revision > before.revision+1 {
			broken := t.broken(fmt.Sprintf("revision %d came after %d", revision, before.revision))
			s.items, s.restart = append(s.items, broken.items...), true
			return s
		}
	case cursor != "" && cursor == before.cursor:
		return s
	}
	if cursor != "" {
		t.position.cursor = cursor
	}
	t.position.revision = revision
	t.sawLive = t.sawLive || t.phase == live && !isReplayed(frame)
	s.items = append(s.items, item{event: eventOf(frame), after: t.position})
	return s
}

// release hands out the frames that were held.
func (t *tracker) release(s step) step {
	held := t.held
	t.held = nil
	for _, frame := range held {
		if s = t.take(frame, s); s.restart {
			break
		}
	}
	return s
}

// dropHeld drops a held live frame that is being replayed as well.
func (t *tracker) dropHeld(replayed wire.ServerMessage) {
	_, cursor := numbers(replayed)
	for i, frame := range t.held {
		if _, held := numbers(frame); held != "" && held == cursor {
			t.held = append(t.held[:i:i], t.held[i+1:]...)
			return
		}
	}
}

// gap hands out that events were missed, then the snapshot.
func (t *tracker) gap(reason string) step {
	missed := t.missed(reason)
	t.phase, t.position = live, t.at
	return t.release(step{items: []item{missed, t.state(false)}})
}

// broken ends the round because its frames are not what was promised.
func (t *tracker) broken(reason string) step {
	missed := t.missed(reason)
	t.stop()
	return step{items: []item{missed}, restart: true}
}

func (t *tracker) missed(reason string) item {
	return item{event: &Gap{ShareDataID: t.shareDataID, Cursor: t.position.cursor, Reason: reason}}
}

// state is the snapshot as an event. The position stays where it is while
// there is something to replay.
func (t *tracker) state(resumed bool) item {
	return item{after: t.position, event: &State{
		ShareDataID:       t.shareDataID,
		CurrentState:      t.snapshot.CurrentState,
		Cursor:            t.at.cursor,
		Revision:          t.snapshot.Revision,
		LastTransactionID: t.snapshot.LastTransactionID,
		Resumed:           resumed,
		Replaying:         t.left,
	}}
}

// numbers returns the place of a transaction or lifecycle frame.
func numbers(frame wire.ServerMessage) (revision uint64, cursor string) {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Revision, frame.TransactionID
	case *wire.Lifecycle:
		return frame.Revision, frame.Cursor
	}
	return 0, ""
}

func isReplayed(frame wire.ServerMessage) bool {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return frame.Replayed
	case *wire.Lifecycle:
		return frame.Replayed
	}
	return false
}

func eventOf(frame wire.ServerMessage) Event {
	switch frame := frame.(type) {
	case *wire.Transaction:
		return &Transaction{
			ShareDataID:   frame.ShareDataID,
			TransactionID: frame.TransactionID,
			Accepted:      frame.Accepted,
			CurrentState:  frame.CurrentState,
			Replayed:      frame.Replayed,
			Revision:      frame.Revision,
			FunctionID:    frame.FunctionID,
		}
	case *wire.Lifecycle:
		return &Lifecycle{
			ShareDataID:  frame.ShareDataID,
			Removed:      frame.Event == wire.EventRemoved,
			CurrentState: frame.CurrentState,
			Replayed:     frame.Replayed,
			Cursor:       frame.Cursor,
			Revision:     frame.Revision,
		}
	}
	panic(fmt.Sprintf("client: %T is no event", frame))
}
