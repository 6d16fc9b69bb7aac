package realtime

import (
	"bytes"
	"encoding/json"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// frame is the JSON text of one message. It is encoded once and shared by all
// connections that it is sent to, so it is immutable.
type frame []byte

// encode returns a frame that has not much more memory than bytes: only the bytes
// are counted while it waits.
func encode(message wire.ServerMessage) frame {
	f := message.AppendTo(nil)
	if cap(f) > 2*len(f) {
		return bytes.Clone(f)
	}
	return f
}

// stateExtras are what a state frame says beside the snapshot.
type stateExtras struct {
	// replaying is how many replayed frames follow. announce says whether the
	// frame has that number, which is known where all entries are replayed: to
	// subscribers who asked for lifecycle frames.
	replaying uint64
	announce  bool
	skipped   uint64 // how many entries were left out; 0 for none
}

// stateFrame encodes a snapshot.
func stateFrame(at sharedata.Snapshot, extras stateExtras) frame {
	state := &wire.State{
		ShareDataID:  at.ID,
		CurrentState: at.State,
		Cursor:       at.Cursor.String(),
		Revision:     at.Cursor.Revision,
		HasReplaying: extras.announce,
		Replaying:    extras.replaying,
		Skipped:      extras.skipped,
	}
	if !at.LastTransaction.IsZero() {
		state.LastTransactionID = at.LastTransaction.String()
	}
	return encode(state)
}

// liveFrame encodes an entry for subscribers who have seen all before it. It
// returns nil for an entry that subscribers are not notified of.
func liveFrame(event *sharedata.Event, f form) frame {
	switch event.Type {
	case sharedata.EntryTransaction:
		return encode(&wire.Transaction{
			ShareDataID:   event.ShareDataID,
			TransactionID: event.Cursor.String(),
			Accepted:      event.Accepted,
			CurrentState:  event.State,
			Revision:      event.Revision(),
			FunctionID:    event.FunctionID,
			Activity:      activity(&event.Entry, f),
		})
	case sharedata.EntryUpdated:
		return encode(&wire.Lifecycle{
			ShareDataID:  event.ShareDataID,
			Event:        wire.EventUpdated,
			CurrentState: event.State,
			Cursor:       event.Cursor.String(),
			Revision:     event.Revision(),
			Activity:     activity(&event.Entry, f),
		})
	case sharedata.EntryRemoved:
		if event.Reset {
			return removedFrame(event.ShareDataID) // the position is not known
		}
		return encode(&wire.Lifecycle{
			ShareDataID: event.ShareDataID,
			Event:       wire.EventRemoved,
			Cursor:      event.Cursor.String(),
			Revision:    event.Revision(),
			Activity:    activity(&event.Entry, f),
		})
	}
	return nil
}

// replayedFrame encodes an entry for subscribers who missed it. It is nil for an
// entry that is not replayed.
func replayedFrame(entry sharedata.Entry, f form) frame {
	switch entry.Type {
	case sharedata.EntryTransaction:
		return encode(&wire.Transaction{
			ShareDataID:   entry.ShareDataID,
			TransactionID: entry.Cursor.String(),
			Accepted:      entry.Accepted,
			Replayed:      true,
			Revision:      entry.Revision(),
			FunctionID:    entry.FunctionID,
			Activity:      activity(&entry, f),
		})
	case sharedata.EntryUpdated:
		return encode(&wire.Lifecycle{
			ShareDataID: entry.ShareDataID,
			Event:       wire.EventUpdated,
			Replayed:    true,
			Cursor:      entry.Cursor.String(),
			Revision:    entry.Revision(),
			Activity:    activity(&entry, f),
		})
	}
	return nil
}

// activity returns the member activity of an entry's frame, where the form has it.
func activity(entry *sharedata.Entry, f form) json.RawMessage {
	if !f.has(withActivity) {
		return nil
	}
	a := wire.Activity{
		Time:         entry.Time,
		ProposedData: entry.Data,
		Code:         entry.Code,
		Reason:       entry.Reason,
		Details:      entry.Details,
	}
	if entry.Caller != nil {
		a.Subject, a.Issuer = entry.Caller.Subject, entry.Caller.Issuer
	}
	text, err := json.Marshal(a)
	if err != nil {
		return nil // an entry that was not committed
	}
	return text
}

// removedFrame says that a ShareData was removed, where the position at which its
// history ended is not known.
func removedFrame(id string) frame {
	return encode(&wire.Lifecycle{ShareDataID: id, Event: wire.EventRemoved})
}

func errorFrame(code, id, message string) frame {
	return encode(&wire.Error{Code: code, Message: message, ShareDataID: id})
}

// notResumedFrame follows a state that does not continue what the subscriber has
// seen.
func notResumedFrame(id, why string) frame {
	return errorFrame(codes.ReplayCursorNotFound, id, why)
}
