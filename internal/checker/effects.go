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

// effect is an entry of a history and the operation that caused it, as far as both
// are known.
type effect struct {
	at replay.Cursor
	// operation is nil where no recorded operation asked for the entry.
	operation *Operation
	// entry is nil where no history was recorded.
	entry *sharedata.Entry
	// sent is the record before which the operation was not sent, and known the
	// first record that shows the entry; 0 where there is none. The entry was
	// committed between the two.
	sent, known uint64
	accepted    bool
}

// effects are the effects on one ShareData. An entry is attributed to an operation
// by a result that names it or by the idempotency key; failing both, and only with
// Options.Attributed, by what the operation asked for. Of operations that ask for
// the same, the first sent is taken for the first committed: if any order
// explains the history, that one does.
type effects struct {
	evaluation *evaluation
	shareData  string
	at         map[replay.Cursor]*effect
	repeats    map[keyOf][]*Operation
	seen       map[replay.Cursor]uint64 // the first record that shows a position
}

// checkEffects checks the effects of all operations: that each entry was asked for,
// that the order of the revisions agrees with the order in time, and that functions
// did what their models do.
//
// Together this is linearizability. The revisions give the order of the operations,
// so the order is verified, not searched for.
func (ev *evaluation) checkEffects() {
	operations := make(map[string][]*Operation)
	for _, o := range ev.operations {
		operations[o.Proposal.ShareData] = append(operations[o.Proposal.ShareData], o)
	}
	for id := range ev.histories {
		operations[id] = append(operations[id], nil...)
	}
	for _, id := range sortedKeys(operations) {
		f := ev.effectsOn(id, operations[id])
		ordered := f.inOrder()
		if ev.options.Attributed {
			f.checkAttributed(ordered)
		}
		f.checkRealTime(ordered)
		if model := ev.options.Models[id]; model != nil {
			f.checkModel(ordered, model)
		}
	}
}

// checkAttributed looks for entries that no operation asked for, such as those of
// a proposal that took effect twice.
func (f *effects) checkAttributed(ordered []*effect) {
	for _, e := range ordered {
		if e.entry == nil || e.operation != nil || e.at.Revision == 1 || e.entry.Type == sharedata.EntryRemoved {
			continue
		}
		f.report(OnceOnly, e, "no operation asked for this %s of %.60s to %q, or only for an earlier one", e.entry.Type, e.entry.Data, e.entry.FunctionID)
	}
}

// checkRealTime demands that no operation was sent after a later entry was known.
func (f *effects) checkRealTime(ordered []*effect) {
	var last *effect // of those so far, the one that was sent last
	for _, e := range ordered {
		if last == nil || e.sent > last.sent {
			last = e
		}
		if e.known != 0 && e.known < last.sent {
			f.report(OneWinner, last, "%s was known before it was sent", e.at)
		}
	}
}

// checkModel computes the states after the effects, from wherever a state is known.
func (f *effects) checkModel(ordered []*effect, model Model) {
	var at replay.Cursor
	var state json.RawMessage // nil: not known
	for _, e := range ordered {
		if e.at != at.Next() {
			state = nil // an entry between the two is not known
		}
		next, problem := f.apply(model, state, e)
		if problem != "" {
			f.report(OneWinner, e, "%s", problem)
		}
		at, state = e.at, next
	}
}

// apply returns the state after an effect, nil where it is not known. problem says
// how the effect differs from the model.
func (f *effects) apply(model Model, before json.RawMessage, e *effect) (after json.RawMessage, problem string) {
	entryType, function, data := e.change()
	hash, hasHash := f.stateHash(e)
	switch {
	case entryType == sharedata.EntryRemoved:
		return nil, ""
	case entryType != sharedata.EntryTransaction:
		if after = data; after == nil {
			return f.evaluation.states[hash], ""
		}
	case before == nil:
		return f.evaluation.states[hash], ""
	default:
		next, accepted, err := model(before, function, data)
		switch {
		case err != nil:
			return f.evaluation.states[hash], fmt.Sprintf("the model fails for %q of %.60s on %.60s: %v", function, data, before, err)
		case accepted != e.accepted:
			return f.evaluation.states[hash], fmt.Sprintf("%q of %.60s on %.60s has the verdict accepted: %t, and the model says %t", function, data, before, e.accepted, accepted)
		case !accepted:
			next = before
		}
		after = next
	}
	if !hasHash {
		return after, ""
	}
	if same, ok := withHash(after, hash); ok {
		return same, ""
	}
	return f.evaluation.states[hash], fmt.Sprintf("%q of %.60s on %.60s leads to %.60s, which does not have the recorded hash %s", function, data, before, after, hash)
}

// change is what an effect changes: by the operation where a new state is given,
// else by the entry where one was recorded.
func (e *effect) change() (entryType sharedata.EntryType, function string, data json.RawMessage) {
	o := e.operation
	switch {
	case o != nil && (o.Kind != OperationPropose || e.entry == nil):
		return o.entryType(), o.Proposal.Function, o.Proposal.Data
	case e.entry.Type == sharedata.EntryTransaction:
		return e.entry.Type, e.entry.FunctionID, e.entry.Data
	}
	return e.entry.Type, "", nil
}

// stateHash returns the hash of the state after an effect, if it is known.
func (f *effects) stateHash(e *effect) (sharedata.Hash, bool) {
	if e.entry != nil {
		return e.entry.StateHash, e.entry.Type != sharedata.EntryRemoved
	}
	a := f.evaluation.assertions[position{f.shareData, e.at}]
	return a.state, a.hasState
}

func (f *effects) report(promise Promise, e *effect, format string, values ...any) {
	v := Violation{Promise: promise, ShareData: f.shareData, Where: e.at.String(), Explanation: fmt.Sprintf(format, values...)}
	if e.operation != nil {
		v.Subscriber = e.operation.Proposal.Proposer
		v.Where += ", " + e.operation.place()
	}
	f.evaluation.report(v)
}

// effectsOn attributes what is known of a ShareData to the operations.
func (ev *evaluation) effectsOn(shareData string, operations []*Operation) *effects {
	f := &effects{
		evaluation: ev, shareData: shareData,
		at: make(map[replay.Cursor]*effect), repeats: make(map[keyOf][]*Operation), seen: make(map[replay.Cursor]uint64),
	}
	for _, k := range ev.known[shareData] {
		if first, ok := f.seen[k.cursor]; !ok || k.at < first {
			f.seen[k.cursor] = k.at
		}
	}
	for _, o := range operations {
		if o.Proposal.Key != "" {
			k := keyOf{subject: o.Proposal.Subject, key: o.Proposal.Key}
			f.repeats[k] = append(f.repeats[k], o)
		}
	}
	for _, o := range operations {
		if at, err := replay.ParseCursor(o.Answer.TransactionID); o.Answered && err == nil {
			f.addResult(o, at)
		}
	}
	f.addHistory(operations)
	return f
}

// addResult adds the effect that a result names.
func (f *effects) addResult(o *Operation, at replay.Cursor) {
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
	return f.repeats[keyOf{subject: o.Proposal.Subject, key: o.Proposal.Key}][0].SendOrder
}

// addHistory adds the effects of the recorded histories.
func (f *effects) addHistory(operations []*Operation) {
	h := f.evaluation.histories[f.shareData]
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
	if f.evaluation.options.Attributed {
		f.explain(unexplained, operations)
	}
}

// byKey returns the first operation with the key of an entry that asked for the
// entry and may have taken effect.
func (f *effects) byKey(e *sharedata.Entry) *Operation {
	if e.IdempotencyKey == "" {
		return nil
	}
	k := keyOf{key: e.IdempotencyKey}
	if e.Caller != nil {
		k.subject = e.Caller.Subject
	}
	for _, o := range f.repeats[k] {
		if o.mayHaveEffect() && o.request() == requestOf(e) {
			return o
		}
	}
	return nil
}

// explain attributes entries to operations without a verdict and without a key
// that asked for them.
func (f *effects) explain(unexplained []*effect, operations []*Operation) {
	open := make(map[request][]*Operation)
	for _, o := range operations {
		if o.Proposal.Key == "" && o.Answer.TransactionID == "" && o.mayHaveEffect() {
			open[o.request()] = append(open[o.request()], o)
		}
	}
	for _, e := range unexplained {
		r := requestOf(e.entry)
		if candidates := open[r]; len(candidates) > 0 && (e.known == 0 || candidates[0].SendOrder < e.known) {
			e.operation, e.sent = candidates[0], candidates[0].SendOrder
			open[r] = candidates[1:]
		}
	}
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

// request is what an operation asks for and an entry records.
type request struct {
	entryType      sharedata.EntryType
	function, data string
	state          sharedata.Hash
}

func (o *Operation) request() request {
	if o.Kind != OperationPropose {
		return request{entryType: o.entryType(), state: sharedata.HashState(o.Proposal.Data)}
	}
	return request{entryType: sharedata.EntryTransaction, function: o.Proposal.Function, data: canonical(o.Proposal.Data)}
}

func requestOf(e *sharedata.Entry) request {
	if e.Type != sharedata.EntryTransaction {
		return request{entryType: e.Type, state: e.StateHash}
	}
	return request{entryType: e.Type, function: e.FunctionID, data: canonical(e.Data)}
}

// canonical returns JSON in the form of a record.
func canonical(raw json.RawMessage) string {
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.String()
}
