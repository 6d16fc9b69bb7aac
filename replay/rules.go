package replay

import "fmt"

// The rules that every Store applies alike. They look at nothing but their
// arguments, so a store calls them where it holds what they ask for.

// Validate says, as an ErrInvalidBatch, what in the batch is against the rules
// on Batch, whatever the history it is meant for. It leaves open whether
// Expect is the head and whether the epoch of a first entry is a new one.
func (b Batch) Validate() error {
	if len(b.Entries) == 0 {
		return fmt.Errorf("%w: it has no entries", ErrInvalidBatch)
	}
	want := b.Expect.Next()
	if b.Starts() {
		want = Cursor{Epoch: b.Entries[0].Cursor.Epoch, Revision: 1}
	}
	if want.Epoch == 0 {
		return fmt.Errorf("%w: epoch 0 names no history", ErrInvalidBatch)
	}
	for i := range b.Entries {
		if want.Revision == 0 {
			return fmt.Errorf("%w: no revision is left for entry %d", ErrInvalidBatch, i)
		}
		if got := b.Entries[i].Cursor; got != want {
			return fmt.Errorf("%w: entry %d is numbered %s instead of %s", ErrInvalidBatch, i, got, want)
		}
		want.Revision++
	}
	return nil
}

// Starts reports whether the batch starts a history, or starts one over: its
// epoch is not that of Expect. A valid one then begins with revision 1.
func (b Batch) Starts() bool {
	return b.Expect.IsZero() || len(b.Entries) > 0 && b.Entries[0].Cursor.Epoch > b.Expect.Epoch
}

// Last is the position of the last entry: the head, once the batch is
// committed. It is the zero Cursor for a batch without entries.
func (b Batch) Last() Cursor {
	if len(b.Entries) == 0 {
		return Cursor{}
	}
	return b.Entries[len(b.Entries)-1].Cursor
}

// Check says, as a *CursorError, why a history with this head cannot return
// exactly what followed the cursor after; nil if it can. The id is for the
// error only. The zero Cursor is of no epoch, so no history continues it.
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
