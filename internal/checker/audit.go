package checker

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/sharedata"
)

// verify checks the chain of hashes. broken is false if it is intact.
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

// audit checks the histories of a ShareData, and their end.
func (ev *evaluation) audit(shareData string, h *histories) {
	report := func(where fmt.Stringer, format string, values ...any) {
		ev.report(Violation{Promise: Auditable, ShareData: shareData, Where: where.String(), Explanation: fmt.Sprintf(format, values...)})
	}
	for _, c := range h.inOrder() {
		for _, run := range c.runs() {
			if v, broken := verify(run); broken {
				ev.report(v)
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
		report(at, "the final state is at this position, the history ends at %s", newest.Cursor)
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

// keyOf is an idempotency key with its scope: keys of different subjects are
// different.
type keyOf struct {
	shareData, subject, key string
	epoch                   uint64
}

// checkKeysInHistory looks for keys that took effect twice.
func (ev *evaluation) checkKeysInHistory(shareData string, h *histories) {
	for _, c := range h.inOrder() {
		first := make(map[keyOf]uint64)
		for i := range c.entries {
			e := &c.entries[i]
			if e.Type != sharedata.EntryTransaction || e.IdempotencyKey == "" {
				continue
			}
			k := keyOf{shareData: shareData, key: e.IdempotencyKey}
			if e.Caller != nil {
				k.subject = e.Caller.Subject
			}
			if before, used := first[k]; used && ev.remembered(before, e.Revision()) {
				ev.report(Violation{
					Promise: OnceOnly, ShareData: shareData, Where: e.Cursor.String(),
					Explanation: fmt.Sprintf("the key %.60q took effect before, at revision %d", e.IdempotencyKey, before),
				})
			}
			first[k] = e.Revision()
		}
	}
}

// remembered reports whether the store must still know a key that was used at
// revision first when it is used again.
func (ev *evaluation) remembered(first, again uint64) bool {
	return ev.options.Retention <= 0 || again-first <= uint64(ev.options.Retention)
}
