package checker

import (
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// record is one event of a subscription. It has the hash of a state, not the state.
type record struct {
	// at is the number of the record among all of the recorder, from 1.
	at       uint64
	kind     kind
	accepted bool // transaction, result
	replayed bool // transaction, updated
	hasState bool // state is known; of a subscribed: at its cursor
	computed bool // state was computed, or is a stateHash
	counted  bool // state: number is known
	resumed  bool // state
	leftOut  bool // state: the frame does not have it
	repeated bool // result: a duplicate
	// patches, conflate and includeState are what a subscribed asks for. A state with
	// patches begins a subscription with them.
	patches, conflate, includeState bool
	// cursor is the position; zero for a removal without one.
	cursor replay.Cursor
	// last is the lastTransactionId of a state.
	last replay.Cursor
	// number is the number of replayed frames that a state announces, a close code,
	// or, for a result, the record of its proposal.
	number uint64
	// skipped is how many entries a state says that were left out.
	skipped uint64
	// problem is what is wrong with the states and patches in a frame.
	problem string
	// text is the since of a subscribed, the functionId of a transaction, or the
	// problem of an unreadable.
	text  string
	state sharedata.Hash
}

type kind uint8

const (
	subscribed kind = iota
	unsubscribed
	refused
	disconnected
	state
	transaction
	updated
	removed
	notFound   // the error replay-cursor-not-found
	gap        // of a client
	result     // of a proposal of the same connection
	unreadable // a frame without a valid position
)

func (r *record) String() string {
	replayed := ""
	if r.replayed {
		replayed = "replayed "
	}
	switch r.kind {
	case subscribed:
		if r.text == "" {
			return "subscribe"
		}
		return "subscribe since " + r.text
	case unsubscribed:
		return "unsubscribe"
	case refused:
		return "subscribe refused"
	case disconnected:
		return fmt.Sprintf("disconnected with %d", r.number)
	case state:
		switch {
		case r.skipped > 0:
			return fmt.Sprintf("state %s, skipped %d", r.cursor, r.skipped)
		case r.resumed && r.number > 0:
			return fmt.Sprintf("state %s, resumed, replaying %d", r.cursor, r.number)
		case r.resumed:
			return fmt.Sprintf("state %s, resumed", r.cursor)
		case r.number > 0:
			return fmt.Sprintf("state %s, replaying %d", r.cursor, r.number)
		}
		return fmt.Sprintf("state %s", r.cursor)
	case transaction:
		verdict := "rejected"
		if r.accepted {
			verdict = "accepted"
		}
		return fmt.Sprintf("%stransaction %s %s", replayed, r.cursor, verdict)
	case updated:
		return fmt.Sprintf("%supdated %s", replayed, r.cursor)
	case removed:
		if r.cursor.IsZero() {
			return "removed"
		}
		return fmt.Sprintf("removed %s", r.cursor)
	case notFound:
		return "cursor not found"
	case gap:
		return "gap"
	case result:
		return fmt.Sprintf("result %s", r.cursor)
	}
	return "unreadable frame"
}

// recordOf returns the record of a frame, without the state; ok is false where the
// frame is not about this subscription.
func (l *log) recordOf(frame wire.ServerMessage) (rec record, ok bool) {
	switch f := frame.(type) {
	case *wire.State:
		rec = record{kind: state, counted: f.HasReplaying, number: f.Replaying}
		rec.position(f.Cursor, f.Revision)
		if f.LastTransactionID != "" {
			last, err := replay.ParseCursor(f.LastTransactionID)
			if err != nil {
				rec.kind, rec.text = unreadable, "lastTransactionId: "+err.Error()
			}
			rec.last = last
		}
		return rec, f.ShareDataID == l.shareData
	case *wire.Transaction:
		rec = record{kind: transaction, accepted: f.Accepted, replayed: f.Replayed, text: f.FunctionID}
		rec.position(f.TransactionID, f.Revision)
		return rec, f.ShareDataID == l.shareData
	case *wire.Lifecycle:
		rec = record{kind: updated, replayed: f.Replayed}
		if f.Event == wire.EventRemoved {
			rec.kind = removed
		}
		if f.Cursor != "" || rec.kind == updated {
			rec.position(f.Cursor, f.Revision)
		}
		return rec, f.ShareDataID == l.shareData
	case *wire.Error:
		if f.ShareDataID != "" && f.ShareDataID != l.shareData {
			return rec, false
		}
		switch f.Code {
		case codes.ReplayCursorNotFound:
			return record{kind: notFound}, true
		case codes.UnknownShareData, codes.UnauthorizedSubscribe, codes.TooManySubscriptions,
			codes.RateLimited, codes.Unavailable, codes.InternalError:
			return record{kind: refused}, f.ShareDataID != ""
		}
	}
	return rec, false
}

// position reads the position of a frame. A frame without a valid one becomes
// unreadable.
func (r *record) position(cursor string, revision uint64) {
	at, err := replay.ParseCursor(cursor)
	switch {
	case err != nil:
		r.kind, r.text = unreadable, fmt.Sprintf("it has no position: %v", err)
	case at.Revision == 0 || at.Epoch == 0:
		r.kind, r.text = unreadable, fmt.Sprintf("%s is not the position of an entry", at)
	case revision != 0 && revision != at.Revision:
		r.kind, r.text = unreadable, fmt.Sprintf("its revision is %d, its cursor %s", revision, at)
	}
	r.cursor = at
}
