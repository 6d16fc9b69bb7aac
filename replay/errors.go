package replay

import (
	"errors"
	"fmt"
	"time"
)

// Errors of a Store, to be tested with errors.Is.
var (
	// ErrNotFound: there is no history by that id.
	ErrNotFound = errors.New("no history by this id")
	// ErrConflict: the history is not as the batch demands. The error is a
	// *ConflictError.
	ErrConflict = errors.New("the history has moved on")
	// ErrInvalidBatch: the batch is not numbered as Batch demands.
	ErrInvalidBatch = errors.New("invalid batch")
	// ErrCursorTooOld: entries after the cursor are no longer kept.
	ErrCursorTooOld = errors.New("cursor too old: entries after it are no longer kept")
	// ErrUnknownEpoch: the cursor is of another incarnation of the history.
	ErrUnknownEpoch = errors.New("cursor of another epoch: the history has started over")
	// ErrFutureCursor: the cursor lies beyond the head.
	ErrFutureCursor = errors.New("cursor beyond the newest entry")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrUnavailable: the medium under the store could not be reached.
	ErrUnavailable = errors.New("store is unreachable")
)

// ConflictError says where the history is instead of where it was expected, or
// what else of the batch's demands it does not meet: the head is looked at
// first, then its Meta, then the keys, and the first that is amiss is named.
// errors.Is finds ErrConflict in it.
type ConflictError struct {
	// ID is the history's.
	ID string
	// Expected is the batch's Expect.
	Expected Cursor
	// Head is the newest position; zero where there never was one. Of a removed
	// history it is the last position, or, in a store that no longer knows
	// that, a position of some later epoch: NewEpoch(Head.Epoch) starts anew.
	Head Cursor
	// Removed says that the history at Head has ended.
	Removed bool
	// Missed are the entries after Expected if the store could return them
	// along with the refusal, whole and without holes; otherwise nil, and the
	// caller reads them.
	Missed []Entry
	// Replaced says that the head is at Expected but does not carry the
	// batch's ExpectMeta: another history has taken its place.
	Replaced bool
	// Known are the entries that Find finds by the batch's keys, where the
	// batch was refused for nothing but its NewKeys; otherwise nil.
	Known []Entry
	// Claimed, if it is not zero, is how long another process's claim to the next
	// turn may last (Batch.Claim): the batch was refused for that alone.
	Claimed time.Duration
}

// Error names the history and both positions.
func (e *ConflictError) Error() string {
	at := e.Head.String()
	switch {
	case e.Removed:
		at += " (removed)"
	case e.Replaced:
		return fmt.Sprintf("%v: %.60q is at %s, but that is another history than was expected", ErrConflict, e.ID, at)
	case e.Claimed > 0:
		return fmt.Sprintf("%v: at %s of %.60q it is another process's turn, for %v at most", ErrConflict, at, e.ID, e.Claimed)
	case e.Known != nil:
		return fmt.Sprintf("%v: %.60q has %d of the entries' keys already", ErrConflict, e.ID, len(e.Known))
	}
	return fmt.Sprintf("%v: %.60q is at %s, not at %s", ErrConflict, e.ID, at, e.Expected)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// CursorError says why Read cannot continue after a cursor. errors.Is finds
// its Reason in it.
type CursorError struct {
	// ID is the history's.
	ID string
	// Cursor is the one asked for.
	Cursor Cursor
	// Head and Oldest are the history's, as in Head.
	Head   Cursor
	Oldest uint64
	// Reason is ErrCursorTooOld, ErrUnknownEpoch or ErrFutureCursor.
	Reason error
}

// Error names the history, the cursor and what is there instead.
func (e *CursorError) Error() string {
	return fmt.Sprintf("%v: %s of %.60q, which is at %s and kept from revision %d",
		e.Reason, e.Cursor, e.ID, e.Head, e.Oldest)
}

// Unwrap returns the Reason.
func (e *CursorError) Unwrap() error { return e.Reason }
