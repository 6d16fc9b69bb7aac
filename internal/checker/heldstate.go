package checker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// heldState is the state that a subscriber holds. It is computed from states and
// patches as a client does, while they are recorded.
type heldState struct {
	// state is the one at cursor; nil where it is not known.
	cursor replay.Cursor
	state  json.RawMessage
	// patches says that the subscription has patches, and ahead that the replayed
	// frames are about changes that are in the state.
	patches, ahead bool
	// shown says that a state event is ahead, and no event has followed it: a client that
	// is cut off then is shown the same state again.
	shown bool
	// bases are the states that were kept for subscribes, the newest last.
	bases []heldAt
}

type heldAt struct {
	cursor replay.Cursor
	state  json.RawMessage
}

// maxBases bounds the subscribes that wait for a reply.
const maxBases = 16

// keep keeps the state at a cursor, from which a subscribe is to be resumed. It returns
// false where the subscriber does not have it.
func (h *heldState) keep(cursor string) bool {
	at, err := replay.ParseCursor(cursor)
	switch {
	case err != nil:
		return false
	case slices.ContainsFunc(h.bases, func(base heldAt) bool { return base.cursor == at }):
		return true
	case h.state == nil || at != h.cursor:
		return false
	}
	if len(h.bases) == maxBases {
		h.bases = h.bases[1:]
	}
	h.bases = append(h.bases, heldAt{at, h.state})
	return true
}

// receive completes the record of a frame with the state after it.
func (h *heldState) receive(frame wire.ServerMessage, r *record) {
	switch f := frame.(type) {
	case *wire.State:
		h.receiveState(f, r)
	case *wire.Transaction:
		h.change(r, f.CurrentState, f.Patch, f.StateHash)
	case *wire.Lifecycle:
		h.change(r, f.CurrentState, f.Patch, f.StateHash)
	}
}

func (h *heldState) receiveState(f *wire.State, r *record) {
	r.patches, r.resumed, r.skipped = f.StateHash != "", f.Resumed, f.Skipped
	r.leftOut = f.CurrentState == nil
	h.patches, h.ahead = r.patches, !r.leftOut
	h.cursor, h.state = r.cursor, bytes.Clone(f.CurrentState)
	switch {
	case r.leftOut && !f.Resumed:
		r.kind, r.text = unreadable, "a state frame without a state"
		return
	case r.leftOut:
		h.cursor.Revision -= f.Replaying
		for _, base := range h.bases {
			if base.cursor == h.cursor {
				h.state = base.state
			}
		}
	}
	r.computed = r.leftOut
	if h.cursor == r.cursor {
		h.recordState(r)
	}
	h.compareHash(r, f.StateHash)
}

// change applies what a frame says that an entry changed.
func (h *heldState) change(r *record, whole, patch json.RawMessage, hash string) {
	switch {
	case r.kind == removed:
		h.state = nil
		return
	case !h.patches && (patch != nil || hash != ""):
		r.problem = "it has a patch or a stateHash though the subscription is one without patches"
	case whole != nil && patch != nil:
		r.problem = "it has both a state and a patch"
	}
	switch {
	case h.ahead && r.replayed || !h.patches && whole == nil:
		if whole != nil {
			r.hasState, r.state = true, sharedata.HashState(whole)
		} else if !r.replayed && r.kind == transaction {
			r.kind, r.text = unreadable, "a live transaction without a state"
		}
		h.compareHash(r, hash)
		return
	case whole != nil:
		h.state = bytes.Clone(whole)
	default:
		r.computed = true
		h.apply(r, patch)
	}
	h.cursor = r.cursor
	h.recordState(r)
	h.compareHash(r, hash)
}

// apply applies a patch to the state; nil changes nothing.
func (h *heldState) apply(r *record, patch json.RawMessage) {
	if patch == nil || h.state == nil {
		return
	}
	state, err := jsonpatch.Apply(h.state, patch)
	if err != nil {
		r.problem = fmt.Sprintf("its patch does not apply to the state before it: %v", err)
	}
	h.state = state // nil: not known
}

// recordState puts the state into the record, as the one at its position.
func (h *heldState) recordState(r *record) {
	if h.state != nil {
		r.hasState, r.state = true, sharedata.HashState(h.state)
	}
}

// compareHash compares the stateHash of a frame with the state. Where that is not
// known, the stateHash takes its place.
func (h *heldState) compareHash(r *record, text string) {
	if text == "" {
		return
	}
	var hash sharedata.Hash
	switch err := hash.UnmarshalText([]byte(text)); {
	case err != nil:
		r.problem = "its stateHash: " + err.Error()
	case !r.hasState:
		r.hasState, r.state, r.computed = true, hash, true
	case r.state != hash:
		r.problem = fmt.Sprintf("its stateHash is %.8s…, and the state that the subscriber computes has the hash %.8s…", hash, r.state)
	}
}

// receiveEvent completes the record of a client's event: the patch in it must lead to
// the state in it.
func (h *heldState) receiveEvent(frame wire.ServerMessage, r *record) {
	var whole, patch json.RawMessage
	switch f := frame.(type) {
	case *wire.State:
		whole, r.skipped = f.CurrentState, f.Skipped
		h.ahead = f.Replaying > 0 && (r.cursor != h.cursor || h.shown)
		h.shown = h.ahead
	case *wire.Transaction:
		whole, patch, h.shown = f.CurrentState, f.Patch, false
	case *wire.Lifecycle:
		whole, patch, h.shown = f.CurrentState, f.Patch, false
	}
	before := h.state
	h.cursor, h.state = r.cursor, bytes.Clone(whole)
	h.recordState(r)
	switch {
	case whole == nil && r.kind == state:
		r.kind, r.text = unreadable, "a state event without a state"
	case whole == nil && r.kind == transaction && !r.replayed:
		r.kind, r.text = unreadable, "a live transaction without a state"
	case patch != nil && before != nil && !(h.ahead && r.replayed):
		r.computed = true
		if after, err := jsonpatch.Apply(before, patch); err != nil || !bytes.Equal(after, whole) {
			r.problem = "its patch does not lead from the state of the event before to its own"
		}
	}
}
