package checker

import (
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// keyOf names a key among all: keys of different subjects are different.
type keyOf struct {
	shareData, subject, key string
	epoch                   uint64
}

// onceInHistory looks for keys that took effect twice.
func (j *judge) onceInHistory(shareData string, h *histories) {
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
			if before, used := first[k]; used && j.remembered(before, e.Revision()) {
				j.report(Violation{
					Promise: OnceOnly, ShareData: shareData, Where: e.Cursor.String(),
					Explanation: fmt.Sprintf("the key %.60q took effect before, at revision %d", e.IdempotencyKey, before),
				})
			}
			first[k] = e.Revision()
		}
	}
}

// remembered reports whether the store had to know a key that was used at a
// revision when it was used again.
func (j *judge) remembered(first, again uint64) bool {
	return j.options.Retention <= 0 || again-first <= uint64(j.options.Retention)
}

// onceInAnswers demands one verdict for each key, and that all but one of the
// answers are called duplicates.
func (j *judge) onceInAnswers(verdicts []verdict) {
	first := make(map[keyOf]verdict)
	type decision struct {
		keyOf
		cursor replay.Cursor
	}
	owner := make(map[decision]verdict)
	for _, v := range verdicts {
		k := keyOf{v.Proposal.ShareData, v.Proposal.Subject, v.Proposal.Key, v.cursor.Epoch}
		if k.key == "" {
			if v.Answer.Duplicate {
				j.reportAnswer(v.Operation, OnceOnly, "it was %s, but it has no key", v.Answer)
			}
			continue
		}
		before, again := first[k]
		owned, hasOwner := owner[decision{k, v.cursor}]
		switch {
		case hasOwner && !v.Answer.Duplicate:
			j.reportAnswer(v.Operation, OnceOnly, "it was %s, which does not say that it repeats %s", v.Answer, owned.place())
		case again && before.cursor != v.cursor:
			older := min(before.cursor.Revision, v.cursor.Revision)
			if j.remembered(older, max(before.cursor.Revision, v.cursor.Revision)) {
				j.reportAnswer(v.Operation, OnceOnly, "it was %s, and before that %s", v.Answer, before.Answer)
			}
		case again && before.Answer.Accepted != v.Answer.Accepted:
			j.reportAnswer(v.Operation, OnceOnly, "it was %s, and before that %s", v.Answer, before.Answer)
		}
		if !again {
			first[k] = v
		}
		if !v.Answer.Duplicate {
			owner[decision{k, v.cursor}] = v
		}
	}
}
