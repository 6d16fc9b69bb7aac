package checker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// effect is an entry of a history and the operation that it is the effect of,
// as far as both are known.
type effect struct {
	at replay.Cursor
	// operation is nil where nobody is known to have asked for it.
	operation *Operation
	// entry is nil where no history was recorded.
	entry *sharedata.Entry
	// sent and known are the records between which it was decided: it was asked
	// for after sent, and somebody knew of it before known; 0 where nobody did.
	sent, known uint64
	accepted    bool
}

// keyed names the proposals that are one: those with one key of one subject.
type keyed struct{ subject, key string }

// effects finds out what became of the operations on one ShareData, answered or
// not: by the answer, by the key, and failing both by what was asked for. Of
// operations that cannot be told apart the first sent are taken to be the first
// decided; if any order explains the history, that one does.
type effects struct {
	judge     *judge
	shareData string
	at        map[replay.Cursor]*effect
	repeats   map[keyed][]*Operation
	seen      map[replay.Cursor]uint64 // the first record of somebody who knew of it
}

func (j *judge) effectsOn(shareData string, operations []*Operation) *effects {
	f := &effects{
		judge: j, shareData: shareData,
		at: make(map[replay.Cursor]*effect), repeats: make(map[keyed][]*Operation), seen: make(map[replay.Cursor]uint64),
	}
	for _, s := range j.sightings[shareData] {
		if first, ok := f.seen[s.cursor]; !ok || s.at < first {
			f.seen[s.cursor] = s.at
		}
	}
	for _, o := range operations {
		if o.Proposal.Key != "" {
			k := keyed{o.Proposal.Subject, o.Proposal.Key}
			f.repeats[k] = append(f.repeats[k], o)
		}
	}
	for _, o := range operations {
		if at, err := replay.ParseCursor(o.Answer.TransactionID); o.Answered && err == nil {
			f.answered(o, at)
		}
	}
	f.recorded(operations)
	return f
}

// answered takes the word of an answer.
func (f *effects) answered(o *Operation, at replay.Cursor) {
	e := f.at[at]
	if e == nil {
		e = &effect{at: at, operation: o, sent: f.firstSent(o), known: f.seen[at], accepted: o.Answer.Accepted}
		f.at[at] = e
	}
	if e.operation.Answer.Duplicate && !o.Answer.Duplicate {
		e.operation = o
	}
}

func (f *effects) firstSent(o *Operation) uint64 {
	if o.Proposal.Key == "" {
		return o.SendOrder
	}
	return f.repeats[keyed{o.Proposal.Subject, o.Proposal.Key}][0].SendOrder
}

// recorded adds the entries of the histories.
func (f *effects) recorded(operations []*Operation) {
	h := f.judge.histories[f.shareData]
	if h == nil {
		return
	}
	var unexplained []*effect
	for _, c := range h.inOrder() {
		for i := range c.entries {
			entry := &c.entries[i]
			e := f.at[entry.Cursor]
			if e == nil {
				e = &effect{at: entry.Cursor, known: f.seen[entry.Cursor]}
				f.at[entry.Cursor] = e
			}
			e.entry, e.accepted = entry, entry.Accepted
			if e.operation == nil {
				e.operation = f.byKey(entry)
			}
			if e.operation == nil {
				unexplained = append(unexplained, e)
			} else {
				e.sent = f.firstSent(e.operation)
			}
		}
	}
	f.explain(unexplained, operations)
}

// byKey returns the first proposal with the key of an entry that asks for what
// it records.
func (f *effects) byKey(e *sharedata.Entry) *Operation {
	if e.IdempotencyKey == "" {
		return nil
	}
	k := keyed{key: e.IdempotencyKey}
	if e.Caller != nil {
		k.subject = e.Caller.Subject
	}
	for _, o := range f.repeats[k] {
		if o.wish() == wishOf(e) {
			return o
		}
	}
	return nil
}

// explain gives the entries to operations without a verdict and without a key
// that asked for just that.
func (f *effects) explain(unexplained []*effect, operations []*Operation) {
	open := make(map[wish][]*Operation)
	for _, o := range operations {
		if o.Proposal.Key == "" && o.Answer.TransactionID == "" {
			open[o.wish()] = append(open[o.wish()], o)
		}
	}
	for _, e := range unexplained {
		w := wishOf(e.entry)
		if candidates := open[w]; len(candidates) > 0 && (e.known == 0 || candidates[0].SendOrder < e.known) {
			e.operation, e.sent = candidates[0], candidates[0].SendOrder
			open[w] = candidates[1:]
		}
	}
}

// wish is what an operation asks for and an entry records.
type wish struct {
	entryType      sharedata.EntryType
	function, data string
	state          sharedata.Hash
}

func (o *Operation) wish() wish {
	if o.Kind != OperationPropose {
		return wish{entryType: o.entryType(), state: sharedata.HashState(o.Proposal.Data)}
	}
	return wish{entryType: sharedata.EntryTransaction, function: o.Proposal.Function, data: canonical(o.Proposal.Data)}
}

func wishOf(e *sharedata.Entry) wish {
	if e.Type != sharedata.EntryTransaction {
		return wish{entryType: e.Type, state: e.StateHash}
	}
	return wish{entryType: e.Type, function: e.FunctionID, data: canonical(e.Data)}
}

// canonical is JSON as a record has it.
func canonical(raw json.RawMessage) string {
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.String()
}

// inOrder returns the effects in the order of the history.
func (f *effects) inOrder() []*effect {
	var all []*effect
	for _, e := range f.at {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *effect) int {
		return cmp.Or(cmp.Compare(a.at.Epoch, b.at.Epoch), cmp.Compare(a.at.Revision, b.at.Revision))
	})
	return all
}

// judgeOperations judges what was asked for as a whole.
func (j *judge) judgeOperations() {
	if !j.options.Attributed && j.options.Linearize <= 0 {
		return
	}
	operations := make(map[string][]*Operation)
	for _, o := range j.answers {
		operations[o.Proposal.ShareData] = append(operations[o.Proposal.ShareData], o)
	}
	for id := range j.histories {
		operations[id] = append(operations[id], nil...)
	}
	for _, id := range sortedKeys(operations) {
		f := j.effectsOn(id, operations[id])
		if j.options.Attributed {
			f.judgeOrigin()
		}
		if j.options.Linearize > 0 {
			f.linearize()
		}
	}
}

// judgeOrigin looks for entries that nobody asked for, as they come from an
// operation that took effect again.
func (f *effects) judgeOrigin() {
	for _, e := range f.inOrder() {
		if e.entry == nil || e.operation != nil || e.at.Revision == 1 || e.entry.Type == sharedata.EntryRemoved {
			continue
		}
		f.judge.report(Violation{
			Promise: OnceOnly, ShareData: f.shareData, Where: e.at.String(),
			Explanation: fmt.Sprintf("nobody asked for this %s of %.60s to %q, or not once more", e.entry.Type, e.entry.Data, e.entry.FunctionID),
		})
	}
}
