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
	state json.RawMessage
	hash  Hash // of state
}

// Next returns the entry with the state after it, which is nil while no state is known.
// It fails with a *ChainError as Replay does.
func (r *Replayer) Next(e Entry) (Event, error) {
	if e.Type == EntryRemoved {
		r.state = nil
		return Event{Entry: e}, nil
	}
	if r.state == nil && e.NewState == nil || !e.RecordsEffect() {
		r.state = nil
		return Event{Entry: e}, nil
	}
	state, err := stateAfter(r.state, &e)
	if err != nil {
		return Event{}, err
	}
	if state != nil {
		r.state, r.hash = state, HashState(state)
	}
	if r.hash != e.StateHash {
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
	snapshot, after, err := m.snapshotUpTo(ctx, id, cursor)
	if err != nil {
		return nil, err
	}
	r := Replayer{state: snapshot, hash: HashState(snapshot)}
	isSnapshot := snapshot != nil && after == cursor
	if isSnapshot {
		r = Replayer{}
		after.Revision--
	}
	for e, err := range m.History(ctx, id, after) {
		if err != nil {
			return nil, err
		}
		if isSnapshot {
			e.Patch, e.NewState = nil, snapshot // compared with the hash in the entry
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

// snapshotUpTo returns the newest snapshot and its position if that is not after the
// cursor, and otherwise nil and the zero position.
func (m *Manager) snapshotUpTo(ctx context.Context, id string, cursor replay.Cursor) (snapshot json.RawMessage, at replay.Cursor, err error) {
	call, cancel := m.storeContext(ctx)
	defer cancel()
	head, err := m.options.Store.Load(call, id, replay.Cursor{})
	if err == nil {
		err = head.Check(id, cursor)
	}
	if err == nil && cursor.Revision > 0 {
		err = head.Check(id, replay.Cursor{Epoch: cursor.Epoch, Revision: cursor.Revision - 1})
	}
	if err != nil {
		return nil, at, readError(ctx, id, err)
	}
	if cursor.Revision < head.SnapshotRevision {
		return nil, at, nil
	}
	return head.Snapshot, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.SnapshotRevision}, nil
}
