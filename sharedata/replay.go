package sharedata

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/safe-go/safe/replay"
)

// Replay yields each entry with the state after it, as an Event. Event.State is nil as
// long as the state is not known: before the first entry that has a whole state
// (Entry.NewState), as the first entry of every history does; and after an entry of an
// earlier release that does not record what it changed, up to the next whole state.
//
// Replay fails with a *ChainError where a patch does not apply or does not lead to the
// state whose hash the entry has, and with the first error of the sequence. It does not
// check that the entries are an unbroken history: Verify does both.
func Replay(entries iter.Seq2[Entry, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var r Replayer
		for e, err := range entries {
			var event Event
			if err == nil {
				event, err = r.Next(e)
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Replayer computes the states that the entries of one history lead to. The zero
// Replayer knows no state. A Replayer is for one goroutine.
type Replayer struct {
	state  json.RawMessage
	digest digest // of state
}

// Next returns the entry with the state after it, which is nil while no state is known.
// It fails with a *ChainError as Replay does.
func (r *Replayer) Next(e Entry) (Event, error) {
	if e.Type == EntryRemoved {
		*r = Replayer{}
		return Event{Entry: e}, nil
	}
	if r.state == nil && e.NewState == nil || !e.RecordsEffect() {
		*r = Replayer{}
		return Event{Entry: e}, nil
	}
	state, err := stateAfter(r.state, &e)
	if err != nil {
		return Event{}, err
	}
	if state != nil {
		r.state, r.digest = state, r.digest.next(r.state, state)
	}
	if r.digest.hash != e.StateHash {
		return Event{}, &ChainError{Cursor: e.Cursor, Problem: "it does not lead to the state whose hash it has: its patch or its state was changed"}
	}
	return Event{Entry: e, State: r.state}, nil
}

// StateAt returns the state after the entry at a cursor, checked against the hash in the
// entry. It reads the history from the newest snapshot on if that is not later, and
// otherwise from the oldest entry that the store keeps. It fails like History, with
// ErrStateUnknown where the entries do not lead to the state, and with
// ErrChainBroken where they lead to another one.
func (m *Manager) StateAt(ctx context.Context, id string, cursor replay.Cursor) (json.RawMessage, error) {
	at, err := m.position(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case at.exists && at.cursor == cursor:
		return at.state, nil
	}
	head, after, err := m.stateBefore(ctx, id, cursor)
	if err != nil {
		return nil, err
	}
	var r Replayer
	if !after.IsZero() && after.Revision == head.SnapshotRevision {
		r = Replayer{state: head.Snapshot, digest: digestOf(head.Snapshot)}
	}
	// Not from memory, which another process may be ahead of.
	for e, err := range m.entries(ctx, id, after, m.storedEntries) {
		if err != nil {
			return nil, err
		}
		if e.Cursor == cursor && cursor.Revision == head.SnapshotRevision {
			e.Patch, e.NewState = nil, head.Snapshot
		}
		event, err := r.Next(e)
		switch {
		case err != nil:
			return nil, err
		case e.Cursor != cursor:
			continue
		case event.State == nil:
			return nil, fmt.Errorf("%w: %.60q at %s; the store keeps no whole state before it", ErrStateUnknown, id, cursor)
		}
		return event.State, nil
	}
	return nil, fmt.Errorf("%w: %.60q has no state at %s", ErrStateUnknown, id, cursor)
}

// stateBefore returns what the store has, and the position from which its entries lead to
// the state at the cursor: that of the newest snapshot if the cursor is later; if it is
// the same, the one before, so that the entry there shows the hash of the snapshot; and
// otherwise the zero position.
func (m *Manager) stateBefore(ctx context.Context, id string, cursor replay.Cursor) (head replay.Head, after replay.Cursor, err error) {
	head, err = m.loadHead(ctx, id, replay.Cursor{})
	if err == nil {
		err = head.Check(id, cursor)
	}
	if err == nil && cursor.Revision > 0 {
		err = head.Check(id, replay.Cursor{Epoch: cursor.Epoch, Revision: cursor.Revision - 1})
	}
	switch {
	case err != nil:
		return head, after, readError(ctx, id, err)
	case cursor.Revision > head.SnapshotRevision:
		after = replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.SnapshotRevision}
	case cursor.Revision == head.SnapshotRevision && cursor.Revision > 1:
		after = replay.Cursor{Epoch: cursor.Epoch, Revision: cursor.Revision - 1}
	}
	return head, after, nil
}
