package replay

import (
	"fmt"
	"time"
)

// Entry is one step of a history. Its contents are opaque to the store.
type Entry struct {
	// Cursor is the entry's position.
	Cursor Cursor
	// Key is the idempotency key by which Find finds the entry; empty if it has
	// none.
	Key string
	// Data is the record of what happened. The state after the entry can be computed
	// from the state before it and the Data.
	Data []byte
}

// Batch is a run of entries that are committed together or not at all.
type Batch struct {
	// Expect is the head that the entries were decided on: Append commits only
	// if it is still the head. Zero means that there is no history yet, or that
	// it was removed.
	Expect Cursor
	// ExpectMeta, if it is not nil and Expect is not zero, must equal the Meta of
	// the head. A position alone does not identify a history: after a fail-over
	// or when a backup is restored, another history may stand at the same one.
	ExpectMeta []byte
	// Entries has at least one entry. They are numbered consecutively, either
	// from Expect.Next(), or from revision 1 of an epoch later than any that this
	// id has had. The second form starts the history if Expect is zero, and
	// otherwise restarts it: Read returns nothing from before.
	Entries []Entry
	// Snapshot is the state after the last of Entries; nil for none. It replaces the
	// newest snapshot. A batch that starts or restarts a history must have one, unless
	// it also removes the history. An empty Snapshot is none.
	Snapshot []byte
	// NewKeys makes Append commit only if Find finds none of the entries' keys.
	NewKeys bool
	// Reserve asks for a reservation of this length in case the batch is refused
	// with ConflictMoved. Until the reservation ends, or the same Store appends
	// to the history again, batches of other processes are refused with
	// ConflictReserved, unless they restart the history. So a process that
	// decides more slowly than others, or is farther from the store, makes
	// progress too. A store that processes share grants one reservation per
	// history at a time, of a second at most; other stores ignore it. 0 asks for
	// none.
	Reserve time.Duration
	// Meta replaces Head.Meta, also if it is nil.
	Meta []byte
	// Remove ends the history after the last of Entries. The store keeps nothing
	// of it but what it needs to refuse the epochs that the id has had.
	Remove bool
}

// Validate returns an error that wraps ErrInvalidBatch if the entries are not
// numbered as Batch.Entries says, or if a Snapshot is required and missing. It knows
// nothing of the history: whether Expect is the head, and whether the id has had a
// new epoch before, is for the store to check.
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
	if b.Starts() && !b.Remove && len(b.Snapshot) == 0 {
		return fmt.Errorf("%w: it starts the history in epoch %d without a Snapshot", ErrInvalidBatch, want.Epoch)
	}
	return nil
}

// Starts reports whether the batch starts or restarts a history: its epoch is later
// than that of Expect. A valid one then begins with revision 1.
func (b Batch) Starts() bool {
	return b.Expect.IsZero() || len(b.Entries) > 0 && b.Entries[0].Cursor.Epoch > b.Expect.Epoch
}

// Last returns the position of the last entry, which is the head once the batch
// is committed. It is the zero Cursor for a batch without entries.
func (b Batch) Last() Cursor {
	if len(b.Entries) == 0 {
		return Cursor{}
	}
	return b.Entries[len(b.Entries)-1].Cursor
}
