package sharedata

import (
	"errors"
	"fmt"
	"iter"

	"github.com/safe-go/safe/replay"
)

// ErrChainBroken: a history was changed after it was recorded. The error is a
// *ChainError.
var ErrChainBroken = errors.New("the chain is broken")

// ChainError says where a history was changed. errors.Is finds ErrChainBroken
// in it.
type ChainError struct {
	// Cursor is the position of the first entry that is wrong.
	Cursor replay.Cursor
	// Problem says what is wrong with it.
	Problem string
}

// Error names the position and the problem.
func (e *ChainError) Error() string {
	return fmt.Sprintf("%v at %s: %s", ErrChainBroken, e.Cursor, e.Problem)
}

// Unwrap returns ErrChainBroken.
func (e *ChainError) Unwrap() error { return ErrChainBroken }

// Chain is the part of a history that Verify found to be unbroken.
type Chain struct {
	// First and Last are the positions of the first and the last entry; zero
	// if there was none. Where First.Revision is not 1, older entries were not
	// given, and the Previous of the first one was not checked.
	First, Last replay.Cursor
	// Hash is the last entry's. Keep a copy elsewhere and compare it, to find out
	// whether entries at the end were cut off or the whole rest was rewritten.
	Hash Hash
}

// Verify checks that the entries, in this order, are an unbroken part of one
// history: that none was changed, left out, inserted or moved. An entry that
// Continues the one before, in a later epoch, belongs to the same history. Verify
// returns what it checked, up to the first *ChainError or the first error of the
// sequence.
//
// Each Hash covers all fields of its entry and the Hash of the entry before. So a
// change is found at the entry itself, or at the next one where the hash was
// recomputed to hide it.
func Verify(entries iter.Seq2[Entry, error]) (Chain, error) {
	var chain Chain
	var last Entry
	for e, err := range entries {
		if err != nil {
			return chain, err
		}
		if problem := whyNotAfter(last, e); problem != "" {
			return chain, &ChainError{Cursor: e.Cursor, Problem: problem}
		}
		if chain.First.IsZero() {
			chain.First = e.Cursor
		}
		chain.Last, chain.Hash = e.Cursor, e.Hash
		last = e
	}
	return chain, nil
}

// whyNotAfter says why e cannot be the entry after last, or returns "" if it can.
// last is the zero Entry before the first.
func whyNotAfter(last, e Entry) string {
	first := last.Cursor.IsZero()
	switch {
	case e.Hash != e.computeHash():
		return "its hash is not that of its contents: it was changed"
	case e.Cursor.Revision == 0 || e.Cursor.Epoch == 0:
		return "no entry has this position"
	case (e.Cursor.Revision == 1) != (e.Type == EntryCreated):
		return fmt.Sprintf("a %s entry cannot have revision %d", e.Type, e.Cursor.Revision)
	case e.Cursor.Revision == 1 && (e.Previous != Hash{}) != !e.Continues.IsZero():
		return "a first entry has either both a position that it continues and the hash of the entry there, or neither"
	case !e.Continues.IsZero() && (e.Cursor.Revision != 1 || e.Continues.Epoch >= e.Cursor.Epoch):
		return fmt.Sprintf("it cannot continue %s", e.Continues)
	case first:
		return ""
	case e.ShareDataID != last.ShareDataID:
		return fmt.Sprintf("it belongs to %.60q, the one before to %.60q", e.ShareDataID, last.ShareDataID)
	case e.Cursor != last.Cursor.Next() && e.Continues != last.Cursor:
		return fmt.Sprintf("it follows %s: entries are missing, repeated or moved", last.Cursor)
	case last.Type == EntryRemoved:
		return "it follows a removal"
	case e.Previous != last.Hash:
		return "it does not refer to the entry before it: one of the two was replaced"
	}
	return ""
}
