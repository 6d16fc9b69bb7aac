package replay

import (
	"context"
	"iter"
)

// Head is what a store knows of a history without its entries.
type Head struct {
	// Cursor is the position of the newest entry.
	Cursor Cursor
	// Oldest is the revision of the oldest entry that Read can still return. It
	// is Cursor.Revision+1 if no entry is kept.
	Oldest uint64
	// Snapshot is the newest snapshot. Store.Load leaves it out for callers who do not
	// need it.
	Snapshot []byte
	// SnapshotRevision is the revision after which the Snapshot is the state, in the
	// epoch of Cursor; at most Cursor.Revision. Retention never removes the newest
	// snapshot, nor entries after it: together they lead to the newest state.
	SnapshotRevision uint64
	// Meta is the Meta of the newest Batch.
	Meta []byte
	// RestartAfter is not zero if acknowledged entries after Cursor may be lost. Their
	// cursors must not name other entries, so the next batch has to restart the
	// history in an epoch later than RestartAfter. The store refuses other batches
	// with ConflictReplaced.
	RestartAfter uint64
}

// Check returns a *CursorError if a history with this head cannot return exactly
// what followed the cursor after, and nil if it can. The id is for the error
// only. The zero Cursor is of no epoch, so it is refused with ErrUnknownEpoch.
func (h Head) Check(id string, after Cursor) error {
	var reason error
	switch {
	case after.Epoch != h.Cursor.Epoch:
		reason = ErrUnknownEpoch
	case after.Revision > h.Cursor.Revision:
		reason = ErrFutureCursor
	case after.Revision+1 < h.Oldest:
		reason = ErrCursorTooOld
	default:
		return nil
	}
	return &CursorError{ID: id, Cursor: after, Head: h.Cursor, Oldest: h.Oldest, Reason: reason}
}

// CanContinue reports whether a caller who knows the state at a position can compute
// the newest one without the Snapshot, from the entries after that position.
func (h Head) CanContinue(have Cursor) bool {
	return have.Epoch == h.Cursor.Epoch && have.Revision >= h.SnapshotRevision && have.Revision <= h.Cursor.Revision
}

// Store keeps histories and their newest snapshots. A sharedata.Manager calls it
// from any number of goroutines at once. If processes share the store, the calls
// for one id come from several of them.
//
// Ids and keys are any UTF-8 text, data and snapshots any bytes. A store does not
// change the slices that it is given, and both sides treat what the other has
// handed over as immutable.
//
// Besides the errors that each method names, every method returns the context's
// error if the context ends first, ErrClosed after the store was closed, and an
// error that wraps ErrUnavailable if the medium could not be reached. An Append
// that fails with anything but a *ConflictError or ErrInvalidBatch may have taken
// effect: the caller finds out with Load.
type Store interface {
	// Load returns the head of a history. It leaves out the Snapshot if the caller has
	// the state at a position from which Head.CanContinue is true; the zero Cursor means
	// that the caller has none. It fails with ErrNotFound if there is no history or it
	// was removed.
	Load(ctx context.Context, id string, have Cursor) (Head, error)

	// Append commits the batch if the history meets its conditions: Expect,
	// ExpectMeta and NewKeys. Otherwise nothing changes and the error is a
	// *ConflictError. A batch that Batch.Validate refuses fails with
	// ErrInvalidBatch.
	Append(ctx context.Context, id string, batch Batch) error

	// Read returns up to limit entries that follow the cursor after, oldest
	// first, without holes; none if after is the head. It returns fewer than
	// limit only if the history ends before, and none for a limit below 1. It
	// fails with ErrNotFound if there is no history, and with a *CursorError if
	// it cannot return exactly what followed: it never guesses and never returns
	// a part. A cursor with revision 0 is the position before the epoch's first
	// entry.
	Read(ctx context.Context, id string, after Cursor, limit int) ([]Entry, error)

	// Find returns the retained entries that carry one of the keys, for each key
	// the newest, in any order. Keys that no entry carries are left out, and a
	// history that does not exist has none. A store remembers a key as long as
	// its entry. It may find entries from before a history was restarted, with
	// the cursors of their own epoch; it never finds entries of a removed
	// history.
	Find(ctx context.Context, id string, keys []string) ([]Entry, error)

	// IDs yields the id of every history that Load would find, each once, in any
	// order. An id that is created or removed meanwhile may be yielded or not. An
	// error ends the sequence.
	IDs(ctx context.Context) iter.Seq2[string, error]
}

// Follower is a Store that several processes append to, and that notifies each
// of them of what the others append.
//
// A Manager follows a history as long as somebody observes it, and serves it from
// memory. So Load of a history that was lost (not removed), while another process
// follows it, must not return ErrNotFound: the caller would answer "unknown"
// while the other process goes on serving it. Load then notifies the followers
// with nil, so that they notice the loss and restart the history, and fails with
// an error that wraps ErrUnavailable until they have. A process that follows the
// history itself gets ErrNotFound.
type Follower interface {
	// Follow has notify called with what any process appends to the history,
	// until stop is called: with the entries of one batch, or with nil if the
	// caller has to read the position from the store. nil comes
	//   - once as soon as notifications arrive reliably,
	//   - each time that some may have been lost,
	//   - when a periodic check finds the history elsewhere than notified,
	//   - for a batch whose entries are too large to be announced; the Snapshot,
	//     which is not announced, does not count.
	//
	// Entries may come late, twice and out of order.
	//
	// Follow and stop return at once and may be called from any number of
	// goroutines, also by notify; stop may be called again. A call of notify that
	// is under way may end after stop. For each Follow, the store calls notify
	// from one goroutine at a time and never inside a call to the store, so a
	// caller may hold a lock that notify takes; but notify must not block. Closing
	// the store ends all following and waits for calls of notify that are under
	// way.
	Follow(id string, notify func(entries []Entry)) (stop func())
}
