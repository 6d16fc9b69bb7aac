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

// Chain is a part of a history that was found to be unbroken. The zero Chain has no
// entries.
type Chain struct {
	// ShareDataID is the ShareData's; empty if there was no entry.
	ShareDataID string
	// First and Last are the positions of the first and the last entry; zero
	// if there was none. Where First.Revision is not 1, older entries were not
	// given, and the Previous of the first one was not checked.
	First, Last replay.Cursor
	// Hash is the last entry's. Keep a copy elsewhere and compare it, to find out
	// whether entries at the end were cut off or the whole rest was rewritten.
	Hash Hash
	// Removed says that the last entry is the removal of the ShareData.
	Removed bool
}

// Verify checks that the entries, in this order, are an unbroken part of one
// history: that none was changed, left out, inserted or moved; and that the patches
// lead to the recorded hashes of states, from the first whole state on. An entry that
// Continues the one before, in a later epoch, belongs to the same history. Verify
// returns what it checked, up to the first *ChainError or the first error of the
// sequence.
//
// Each Hash covers all fields of its entry and the Hash of the entry before. So a
// change is found at the entry itself, or at the next one where the hash was
// recomputed to hide it.
func Verify(entries iter.Seq2[Entry, error]) (Chain, error) {
	var chain Chain
	var states Replayer
	for e, err := range entries {
		if err != nil {
			return chain, err
		}
		if e.Hash != e.computeHash() {
			return chain, hashMismatch(e)
		}
		if err := chain.Extend(e); err != nil {
			return chain, err
		}
		if _, err := states.Next(e); err != nil {
			return chain, err
		}
	}
	return chain, nil
}

// hashMismatch is the error for an entry whose hash is not that of its contents.
func hashMismatch(e Entry) *ChainError {
	return &ChainError{Cursor: e.Cursor, Problem: "its hash is not that of its contents: it was changed"}
}

// Extend adds the next entry, or returns a *ChainError if it cannot follow. It
// checks the place of the entry, not that its Hash is that of its contents, nor what the
// entry leads to: ParseEntry and a Replayer check that, and Verify checks all of it.
func (c *Chain) Extend(e Entry) error {
	if problem := c.whyNotNext(e); problem != "" {
		return &ChainError{Cursor: e.Cursor, Problem: problem}
	}
	if c.First.IsZero() {
		c.ShareDataID, c.First = e.ShareDataID, e.Cursor
	}
	c.Last, c.Hash, c.Removed = e.Cursor, e.Hash, e.Type == EntryRemoved
	return nil
}

// whyNotNext says why e cannot be the next entry, or returns "" if it can.
func (c *Chain) whyNotNext(e Entry) string {
	switch {
	case e.Cursor.Revision == 0 || e.Cursor.Epoch == 0:
		return "no entry has this position"
	case (e.Cursor.Revision == 1) != (e.Type == EntryCreated):
		return fmt.Sprintf("a %s entry cannot have revision %d", e.Type, e.Cursor.Revision)
	case e.Cursor.Revision == 1 && (e.Previous != Hash{}) != !e.Continues.IsZero():
		return "a first entry has either both a position that it continues and the hash of the entry there, or neither"
	case !e.Continues.IsZero() && (e.Cursor.Revision != 1 || e.Continues.Epoch >= e.Cursor.Epoch):
		return fmt.Sprintf("it cannot continue %s", e.Continues)
	case c.First.IsZero():
		return ""
	case e.ShareDataID != c.ShareDataID:
		return fmt.Sprintf("it belongs to %.60q, the one before to %.60q", e.ShareDataID, c.ShareDataID)
	case e.Cursor != c.Last.Next() && e.Continues != c.Last:
		return c.whyNotAfterLast(e)
	case c.Removed:
		return "it follows a removal"
	case e.Previous != c.Hash:
		return "it does not refer to the entry before it: one of the two was replaced"
	}
	return ""
}

// whyNotAfterLast says why the position of e is not the next one.
func (c *Chain) whyNotAfterLast(e Entry) string {
	switch {
	case !e.Cursor.After(c.Last):
		return fmt.Sprintf("it follows %s: it is repeated, inserted or moved", c.Last)
	case e.Cursor.Epoch == c.Last.Epoch:
		return fmt.Sprintf("it follows %s: %s is missing or was moved", c.Last, c.Last.Next())
	case !e.Continues.IsZero():
		return fmt.Sprintf("it follows %s, but continues %s: entries are missing, repeated or moved", c.Last, e.Continues)
	}
	return fmt.Sprintf("it follows %s, but is of another history of the ShareData", c.Last)
}
