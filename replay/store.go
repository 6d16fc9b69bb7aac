package replay

import (
	"context"
	"iter"
	"time"
)

// Entry is one step of a history. Its contents are opaque to the store.
type Entry struct {
	// Cursor is the entry's position.
	Cursor Cursor
	// Key is the idempotency key under which Find returns the entry; empty if
	// it has none.
	Key string
	// Data is the record of what happened.
	Data []byte
	// State is the state after this entry where the entry changed it, and nil
	// where it did not. No state is empty: a store may take an empty one for
	// nil.
	State []byte
}

// Batch is a run of entries that are committed together or not at all.
type Batch struct {
	// Expect is the head that the entries were decided on: Append commits only
	// if it still is the head. Zero: there is no history, or it was removed.
	Expect Cursor
	// ExpectMeta, if it is not nil and Expect is not zero, is the Meta that the
	// head must carry as well. A position alone does not tell a history from
	// one that has taken its place, as after a failover or from a backup.
	ExpectMeta []byte
	// Entries are at least one, numbered consecutively: from Expect.Next(), or
	// from revision 1 of an epoch that is later than any this id has had. The
	// latter starts the history where Expect is zero, and otherwise starts it
	// over: nothing before them can be read any more.
	Entries []Entry
	// NewKeys makes Append commit only if Find would find none of the entries'
	// keys.
	NewKeys bool
	// Reserve asks for a reservation of this length in case the batch is refused
	// because the head has moved on: until the next Append to the history by the
	// same Store, the batches of other processes are refused (ConflictReserved),
	// except for those that start the history over in a later epoch. So a process
	// makes progress that decides more slowly than others, or is farther from the
	// store. A store that is not shared by processes ignores it; one that is
	// grants one reservation per history at a time, of a second at most.
	Reserve time.Duration
	// Meta replaces what Load returns as Head.Meta.
	Meta []byte
	// Remove ends the history with the last of Entries: nothing of it is kept
	// but what is needed to start the next one in a later epoch.
	Remove bool
}

// Head is the newest end of a history.
type Head struct {
	// Cursor is the position of the newest entry.
	Cursor Cursor
	// Oldest is the revision of the oldest entry that Read can still return.
	// It is Cursor.Revision+1 where none is kept.
	Oldest uint64
	// State is the newest state. It is kept however short the retention is.
	State []byte
	// Meta is what the newest Batch carried.
	Meta []byte
	// RolledBack says that the store may have lost entries after Cursor that were
	// acknowledged, and cannot tell. Their cursors may not be used for other
	// entries, so the next batch has to start the history over in a later epoch
	// than any before; the store refuses others with ConflictReplaced.
	RolledBack bool
}

// Store keeps histories and their newest states. It is called by a
// sharedata.Manager, from any number of goroutines at once; calls for one id
// come from several processes where the store is shared.
//
// Ids and keys are any UTF-8 text, data and states any bytes. A store neither
// changes the slices it is given nor keeps the right to: both sides treat
// them as immutable from the moment they are handed over.
//
// Besides what each method names, every method returns the context's error
// when the context ends first, ErrClosed after the store was closed, and an
// error that wraps ErrUnavailable when the medium could not be reached. An
// Append that failed with anything but a *ConflictError or ErrInvalidBatch may
// have taken effect: the caller finds out with Load.
type Store interface {
	// Load returns the head of a history. It fails with ErrNotFound where
	// there is none or it was removed.
	Load(ctx context.Context, id string) (Head, error)

	// Append commits the batch if the history is as the batch demands, with
	// Expect, ExpectMeta and NewKeys. Otherwise nothing changes and the error is
	// a *ConflictError. A batch that breaks the rules on Batch fails with
	// ErrInvalidBatch.
	Append(ctx context.Context, id string, batch Batch) error

	// Read returns up to limit entries that follow the cursor after, oldest
	// first, without holes; none if after is the head. It returns fewer than
	// limit only where the history ends, and none for a limit below 1. It
	// fails with ErrNotFound like Load, and with a *CursorError where it
	// cannot return exactly what followed: never a guess, never a partial
	// answer. A cursor with revision 0 is the position before the epoch's
	// first entry; the zero Cursor is of no epoch.
	Read(ctx context.Context, id string, after Cursor, limit int) ([]Entry, error)

	// Find returns the retained entries that carry one of the keys, of each key
	// the newest, in any order; keys that are not there are left out, and a
	// history that is not there has none. Keys are remembered as long as their
	// entries, not longer. A store that keeps the entries from before a history
	// was started over finds those too, in their own epoch; nothing of a
	// history that was removed is ever found.
	Find(ctx context.Context, id string, keys []string) ([]Entry, error)

	// IDs yields the id of every history that Load would find, each once, in
	// any order. An id that is created or removed meanwhile may be yielded or
	// not. An error ends the sequence.
	IDs(ctx context.Context) iter.Seq2[string, error]
}

// Follower is a Store that several processes append to, and that notifies each
// of them of what the others append.
//
// A Manager follows a history as long as somebody observes it, and then serves
// it from memory. So the Load of a Follower does not return ErrNotFound for a
// history that was lost (not removed) while another process follows it: the
// caller would say "unknown" while that process goes on serving it. It notifies
// the followers with nil, so that they notice the loss and restart the history,
// and fails with an error that wraps ErrUnavailable until they have. A process
// that follows the history itself gets ErrNotFound.
type Follower interface {
	// Follow has notify called with what anybody appends to the history, until
	// stop is called: with the entries of one batch, or with nil where the
	// caller has to read the position from the store. nil comes once as soon as
	// notifications arrive reliably; each time that some may have been lost; and
	// when a periodic check finds the history elsewhere than notified. Entries may
	// come late, twice and out of order, and a batch that is too large to be
	// announced comes as nil.
	//
	// Follow and stop return at once and may be called from any number of
	// goroutines, also by notify; stop may be called again. A call of notify that
	// is under way may end after stop. One goroutine of the store at a time calls
	// notify for each Follow, never inside a call to the store, so that a caller
	// may hold a lock that notify takes; but notify must not block. Closing the
	// store ends all following, and waits for calls of notify that are under way.
	Follow(id string, notify func(entries []Entry)) (stop func())
}
