package replay

import (
	"errors"
	"fmt"
	"time"
)

// Errors of a Store, to be tested with errors.Is.
var (
	// ErrNotFound: there is no history by this id, or it was removed.
	ErrNotFound = errors.New("no history by this id")
	// ErrConflict: the history does not meet a condition of the batch. The error
	// is a *ConflictError.
	ErrConflict = errors.New("the history has moved on")
	// ErrInvalidBatch: the entries are not numbered as Batch.Entries says, or the
	// batch starts a history without a Snapshot.
	ErrInvalidBatch = errors.New("invalid batch")
	// ErrCursorTooOld: entries after the cursor are no longer kept.
	ErrCursorTooOld = errors.New("cursor too old: entries after it are no longer kept")
	// ErrUnknownEpoch: the cursor is of another epoch than the history.
	ErrUnknownEpoch = errors.New("cursor of another epoch: the history was restarted or created again")
	// ErrFutureCursor: the cursor is after the head.
	ErrFutureCursor = errors.New("cursor beyond the newest entry")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrUnavailable: the medium under the store could not be reached.
	ErrUnavailable = errors.New("store is unreachable")
)

// ConflictReason says which condition of a batch its history does not meet.
type ConflictReason uint8

// The reasons of a conflict, in the order in which a store checks them: it
// names the first that applies.
const (
	// ConflictMoved: the history has another head than the batch's Expect, because
	// another batch was first; or the id never had a history, and Expect is not
	// zero.
	ConflictMoved ConflictReason = iota + 1
	// ConflictRemoved: the history was removed, and the batch does not start one
	// in a later epoch.
	ConflictRemoved
	// ConflictReplaced: the head is at Expect, but its Meta is not the batch's
	// ExpectMeta, so it belongs to another history than the expected one; or the
	// head has RestartAfter and the batch does not restart the history.
	ConflictReplaced
	// ConflictKnownKeys: the batch has NewKeys, and Find finds some of its keys.
	ConflictKnownKeys
	// ConflictReserved: another process has reserved the next append
	// (Batch.Reserve).
	ConflictReserved
)

// String returns the reason in words.
func (r ConflictReason) String() string {
	switch r {
	case ConflictMoved:
		return "moved"
	case ConflictRemoved:
		return "removed"
	case ConflictReplaced:
		return "replaced"
	case ConflictKnownKeys:
		return "known keys"
	case ConflictReserved:
		return "reserved"
	}
	return fmt.Sprintf("ConflictReason(%d)", uint8(r))
}

// ConflictError says why Append refused a batch and where the history stands.
// errors.Is finds ErrConflict in it.
type ConflictError struct {
	// ID is the id of the history.
	ID string
	// Expected is the batch's Expect.
	Expected Cursor
	// Reason says which condition was not met.
	Reason ConflictReason
	// Head is the position of the newest entry; zero if the id never had one. For
	// ConflictRemoved it is the last position of the removed history or, in a
	// store that no longer knows it, a position in a later epoch. In both cases
	// NewEpoch(Head.Epoch) is an epoch in which a new history can start.
	Head Cursor
	// Missed are the entries after Expected, for ConflictMoved. It has all of
	// them, up to Head, or is nil if the store did not return them with the
	// refusal; then the caller reads them.
	Missed []Entry
	// Known are the entries that Find finds by the batch's keys, for
	// ConflictKnownKeys.
	Known []Entry
	// ReservedFor is how long the reservation may still last, for
	// ConflictReserved.
	ReservedFor time.Duration
}

// Error names the history, both positions and the reason.
func (e *ConflictError) Error() string {
	switch e.Reason {
	case ConflictRemoved:
		return fmt.Sprintf("%v: %.60q was removed at %s, expected at %s", ErrConflict, e.ID, e.Head, e.Expected)
	case ConflictReplaced:
		return fmt.Sprintf("%v: %.60q is at %s, but was replaced or rolled back", ErrConflict, e.ID, e.Head)
	case ConflictReserved:
		return fmt.Sprintf("%v: another process has reserved the append after %s of %.60q for %v", ErrConflict, e.Head, e.ID, e.ReservedFor)
	case ConflictKnownKeys:
		return fmt.Sprintf("%v: %.60q has %d of the entries' keys already", ErrConflict, e.ID, len(e.Known))
	}
	return fmt.Sprintf("%v: %.60q is at %s, expected at %s", ErrConflict, e.ID, e.Head, e.Expected)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// CursorError says why Read cannot return what followed a cursor. errors.Is finds
// its Reason in it.
type CursorError struct {
	// ID is the id of the history.
	ID string
	// Cursor is the cursor that was asked for.
	Cursor Cursor
	// Head and Oldest are Head.Cursor and Head.Oldest of the history.
	Head   Cursor
	Oldest uint64
	// Reason is ErrCursorTooOld, ErrUnknownEpoch or ErrFutureCursor.
	Reason error
}

// Error names the history, the cursor, and what the history has instead.
func (e *CursorError) Error() string {
	return fmt.Sprintf("%v: %s of %.60q, which is at %s and kept from revision %d",
		e.Reason, e.Cursor, e.ID, e.Head, e.Oldest)
}

// Unwrap returns the Reason.
func (e *CursorError) Unwrap() error { return e.Reason }
