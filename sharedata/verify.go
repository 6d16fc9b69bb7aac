package sharedata

import (
	"errors"
	"fmt"
	"iter"

	"github.com/safe-go/safe/replay"
)

// ErrChainBroken: a history is not the one that was recorded. The error is a
// *ChainError.
var ErrChainBroken = errors.New("the chain is broken")

// ChainError says where a history was changed. errors.Is finds ErrChainBroken
// in it.
type ChainError struct {
	// Cursor is the position of the first entry that does not fit.
	Cursor replay.Cursor
	// Problem says what does not fit.
	Problem string
}

// Error names the position and the problem.
func (e *ChainError) Error() string {
	return fmt.Sprintf("%v at %s: %s", ErrChainBroken, e.Cursor, e.Problem)
}

// Unwrap returns ErrChainBroken.
func (e *ChainError) Unwrap() error { return ErrChainBroken }

// Chain is what Verify found to be unbroken.
type Chain struct {
	// First and Last are the positions of the first and the last entry; zero
	// if there was none. Where First.Revision is not 1, older entries were not
	// given, and the first one's Previous had to be taken on trust.
	First, Last replay.Cursor
	// Hash is the last entry's. Who compares it with a copy kept elsewhere also
	// learns that nothing was cut off at the end.
	Hash Hash
}

// Verify checks that the entries, in this order, are an unbroken part of one
// history: that none was changed, left out, put in or moved. It returns what
// it checked up to the first *ChainError, or the first error of the sequence.
// An entry that Continues the one before, in a later epoch, is part of it.
//
// Each Hash covers all that an entry says and the Hash before it, so a change
// anywhere shows at its own entry or, if the hash was recomputed to hide it,
// at the next one.
func Verify(entries iter.Seq2[Entry, error]) (Chain, error) {
	var chain Chain
	var last Entry
	for e, err := range entries {
		if err != nil {
			return chain, err
		}
		if problem := follows(last, e); problem != "" {
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

// follows says why e cannot be the entry after last; last is the zero Entry
// before the first.
func follows(last, e Entry) string {
	first := last.Cursor.IsZero()
	switch {
	case e.Hash != e.computeHash():
		return "its contents do not have its hash: it was changed"
	case e.Cursor.Revision == 0 || e.Cursor.Epoch == 0:
		return "its position is not one of an entry"
	case (e.Cursor.Revision == 1) != (e.Type == EntryCreated):
		return fmt.Sprintf("a %s entry cannot have revision %d", e.Type, e.Cursor.Revision)
	case e.Cursor.Revision == 1 && (e.Previous != Hash{}) != !e.Continues.IsZero():
		return "it is the first entry, but it does not say as well what it continues as by what hash"
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
