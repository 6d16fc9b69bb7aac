package checker

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// verify checks the chain of hashes.
func verify(entries []sharedata.Entry) (v Violation, broken bool) {
	_, err := sharedata.Verify(func(yield func(sharedata.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	})
	var chainError *sharedata.ChainError
	if !errors.As(err, &chainError) {
		return v, false
	}
	return Violation{
		Promise: Auditable, ShareData: entries[0].ShareDataID,
		Where: chainError.Cursor.String(), Explanation: chainError.Problem,
	}, true
}

// audit judges the histories for themselves.
func (j *judge) audit(shareData string, h *histories) {
	report := func(where fmt.Stringer, format string, values ...any) {
		j.report(Violation{Promise: Auditable, ShareData: shareData, Where: where.String(), Explanation: fmt.Sprintf(format, values...)})
	}
	for _, c := range h.inOrder() {
		for _, run := range c.runs() {
			if v, broken := verify(run); broken {
				j.report(v)
			}
			for i := 1; i < len(run); i++ {
				e := &run[i]
				if e.Type == sharedata.EntryTransaction && !e.Accepted && e.StateHash != run[i-1].StateHash {
					report(e.Cursor, "a rejected transaction changed the state")
				}
			}
		}
	}
	if h.final == nil {
		return
	}
	at := h.final.Cursor
	c := h.chains[at.Epoch]
	if c == nil || len(c.entries) == 0 {
		return
	}
	newest := &c.entries[len(c.entries)-1]
	switch last, known := c.lastTransaction(newest.Cursor.Revision); {
	case newest.Cursor != at:
		report(at, "the final state is of this position, the history ends at %s", newest.Cursor)
	case newest.StateHash != sharedata.HashState(h.final.State):
		report(at, "the final state %.60s does not have the hash that its entry recorded", h.final.State)
	case known && last != h.final.LastTransaction.Revision:
		report(at, "the final state names %s as the newest transaction, the history revision %d", h.final.LastTransaction, last)
	}
}

// runs splits a chain at its holes.
func (c *chain) runs() [][]sharedata.Entry {
	var runs [][]sharedata.Entry
	start := 0
	for i := 1; i <= len(c.entries); i++ {
		if i == len(c.entries) || c.entries[i].Cursor != c.entries[i-1].Cursor.Next() {
			runs = append(runs, c.entries[start:i])
			start = i
		}
	}
	return runs
}
