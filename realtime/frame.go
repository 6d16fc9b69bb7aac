package realtime

import (
	"bytes"
	"cmp"
	"encoding/json"
	"sync/atomic"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// frame is one message to clients. It is encoded once and shared by all connections
// that it is sent to, so it is immutable.
type frame struct {
	text []byte // JSON, or what the session's Protocol has made of it
	*about
	kind kind
}

// about is what frames that many connections are sent have, and small replies have not.
type about struct {
	// shareDataID is what a frame is about, and cursor the position of a subscriber
	// after it; zero where it stays where it was.
	shareDataID string
	cursor      replay.Cursor
	compressed  atomic.Pointer[compressed] // nil until somebody wants it
	bulk        bool                       // very many connections are sent it
	inFile      *frameInFile               // nil for none
}

var nothing about // never changed

// newFrame returns a frame about a ShareData.
func newFrame(kind kind, shareDataID string, cursor replay.Cursor) *frame {
	both := &struct {
		frame
		about
	}{}
	both.frame.about, both.frame.kind = &both.about, kind
	both.about.shareDataID, both.about.cursor = shareDataID, cursor
	return &both.frame
}

// kind is the type of a frame, as far as transports need to know it.
type kind uint8

const (
	kindReply kind = iota // a proposal-result, pong or authenticated
	kindState
	kindTransaction
	kindLifecycle
	kindRemoval // a lifecycle frame after which nothing follows
	kindError
	kindRefusal // an error frame, after which the subscription does not exist
	kindBroken  // Protocol.Encode panicked, with this text
	kindEncoded // a message of the application's own
)

// size is what the frame counts for while it waits.
func (f *frame) size() int { return len(f.text) }

// encode returns the frame of a reply, which has not much more memory than bytes: only
// the bytes are counted while it waits.
func encode(message wire.ServerMessage) *frame {
	return &frame{text: encodeText(message), about: &nothing}
}

func encodeText(message wire.ServerMessage) []byte {
	text := message.AppendTo(nil)
	if cap(text) > 2*len(text) {
		return bytes.Clone(text)
	}
	return text
}

// stateExtras are what a state frame says beside the snapshot.
type stateExtras struct {
	// replaying is how many replayed frames follow. announce says whether the
	// frame has that number, which is known where all entries are replayed: to
	// subscribers who asked for lifecycle frames.
	replaying uint64
	announce  bool
	skipped   uint64 // how many entries were left out; 0 for none
	// withHash says that the frame has the hash of the state, as for subscribers
	// with patches, resumed that they (and those of a protocol) are replayed all that followed their cursor, and
	// withoutState that the frame does not have the state.
	withHash, resumed, withoutState bool
	protocol                        *Protocol // that says it; nil for the frame of package wire
	correlationID                   string    // for the protocol
}

// stateFrame encodes a snapshot.
func stateFrame(at sharedata.Snapshot, extras stateExtras) *frame {
	f := newFrame(kindState, at.ID, at.Cursor)
	if extras.replaying > 0 {
		f.cursor = replay.Cursor{}
	}
	if extras.protocol != nil {
		extras.protocol.encode(f, &Message{
			Type: MessageState, ShareDataID: at.ID, Cursor: at.Cursor, State: at.State, Replaying: extras.replaying, Skipped: extras.skipped,
			Resumed: extras.resumed, CorrelationID: extras.correlationID,
		})
		return f
	}
	state := &wire.State{
		ShareDataID:  at.ID,
		CurrentState: at.State,
		Cursor:       at.Cursor.String(),
		Revision:     at.Cursor.Revision,
		HasReplaying: extras.announce,
		Replaying:    extras.replaying,
		Skipped:      extras.skipped,
		Resumed:      extras.resumed,
	}
	if extras.withHash {
		state.StateHash = at.StateHash.String()
	}
	if extras.withoutState {
		state.CurrentState = nil
	}
	if !at.LastTransaction.IsZero() {
		state.LastTransactionID = at.LastTransaction.String()
	}
	f.text = encodeText(state)
	return f
}

// liveFrame encodes an entry for subscribers who have seen all before it. It
// returns nil for an entry that subscribers are not notified of.
func liveFrame(event *sharedata.Event, f form) *frame {
	if event.Reset && event.Type == sharedata.EntryRemoved {
		return removedFrame(event.ShareDataID, f) // the position is not known
	}
	return entryFrame(&event.Entry, f, event.State, false)
}

// replayedFrame encodes an entry for subscribers who missed it. It is nil for an
// entry that is not replayed.
func replayedFrame(entry *sharedata.Entry, f form) *frame {
	if entry.Type == sharedata.EntryRemoved {
		return nil
	}
	return entryFrame(entry, f, nil, true)
}

// stateHashInterval is the number of revisions between frames with stateHash, to
// subscribers with patches. Each lets them find out that their state is wrong, and
// 80 bytes in 32 frames are few beside the patches.
const stateHashInterval = 32

// entryFrame encodes an entry. state is the state after it, nil if that is not at
// hand; subscribers without patches get it as it is, also where it did not change,
// because clients in use read it in every live frame.
func entryFrame(entry *sharedata.Entry, f form, state json.RawMessage, replayed bool) *frame {
	if f.protocol != nil {
		return f.protocol.entryFrame(entry, state, replayed)
	}
	var patch json.RawMessage
	var stateHash string
	if f.has(withPatches) {
		if entry.RecordsEffect() {
			patch, state = effect(entry)
		}
		if entry.Revision()%stateHashInterval == 0 {
			stateHash = entry.StateHash.String()
		}
	}
	next := newFrame(kindTransaction, entry.ShareDataID, entry.Cursor)
	switch entry.Type {
	case sharedata.EntryTransaction:
		m := wire.Transaction{ // which encodeText would allocate
			ShareDataID:   entry.ShareDataID,
			TransactionID: entry.Cursor.String(),
			Accepted:      entry.Accepted,
			CurrentState:  state,
			Patch:         patch,
			Replayed:      replayed,
			Revision:      entry.Revision(),
			FunctionID:    entry.FunctionID,
			StateHash:     stateHash,
			Activity:      activity(entry, f),
		}
		next.text = m.AppendTo(nil)
	case sharedata.EntryUpdated:
		next.kind, next.text = kindLifecycle, encodeText(&wire.Lifecycle{
			ShareDataID:  entry.ShareDataID,
			Event:        wire.EventUpdated,
			CurrentState: state,
			Patch:        patch,
			Replayed:     replayed,
			Cursor:       entry.Cursor.String(),
			Revision:     entry.Revision(),
			StateHash:    stateHash,
			Activity:     activity(entry, f),
		})
	case sharedata.EntryRemoved:
		next.kind, next.text = kindRemoval, encodeText(&wire.Lifecycle{
			ShareDataID: entry.ShareDataID,
			Event:       wire.EventRemoved,
			Cursor:      entry.Cursor.String(),
			Revision:    entry.Revision(),
			Activity:    activity(entry, f),
		})
	default:
		return nil
	}
	return next
}

// effect returns what the frame of an entry has for a subscriber with patches:
// neither where the state did not change.
func effect(entry *sharedata.Entry) (patch, state json.RawMessage) {
	switch {
	case entry.NewState != nil:
		return nil, entry.NewState
	case string(entry.Patch) == "[]":
		return nil, nil
	}
	return entry.Patch, nil
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
	if entry.Type == sharedata.EntryTransaction && !entry.Accepted {
		a.Code = cmp.Or(a.Code, codes.Rejected) // as in the result
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
func removedFrame(id string, f form) *frame {
	next := newFrame(kindRemoval, id, replay.Cursor{})
	if f.protocol != nil {
		f.protocol.encode(next, &Message{Type: MessageRemoved, ShareDataID: id})
	} else {
		next.text = encodeText(&wire.Lifecycle{ShareDataID: id, Event: wire.EventRemoved})
	}
	return next
}

func errorFrame(code, id, message string) *frame {
	return encodeError(&wire.Error{Code: code, Message: message, ShareDataID: id})
}

func encodeError(e *wire.Error) *frame {
	f := newFrame(kindError, e.ShareDataID, replay.Cursor{})
	f.text = encodeText(e)
	if e.ShareDataID != "" && e.Code != codes.ReplayCursorNotFound {
		f.kind = kindRefusal
	}
	return f
}

// notResumedFrame follows a state that does not continue what the subscriber has
// seen.
func notResumedFrame(id, why string) *frame {
	return errorFrame(codes.ReplayCursorNotFound, id, why)
}
