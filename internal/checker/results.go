package checker

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// verdict is an operation whose result names a transaction.
type verdict struct {
	*Operation
	cursor replay.Cursor
}

func (ev *evaluation) reportOperation(o *Operation, promise Promise, format string, values ...any) {
	ev.report(Violation{
		Promise: promise, ShareData: o.Proposal.ShareData, Subscriber: o.Proposal.Proposer,
		Where: o.place(), Explanation: fmt.Sprintf(format, values...),
	})
}

// checkResults compares the results of operations with the history.
func (ev *evaluation) checkResults() {
	var verdicts []verdict
	for _, o := range ev.operations {
		switch cursor, err := replay.ParseCursor(o.Answer.TransactionID); {
		case !o.Answered || o.Answer.TransactionID == "" && !o.Answer.Accepted:
		case o.Answer.TransactionID == "":
			ev.reportOperation(o, CommittedBeforeSeen, "it was accepted without a transactionId")
		case err != nil:
			ev.reportOperation(o, CommittedBeforeSeen, "its transactionId is %.60q, which is not a cursor", o.Answer.TransactionID)
		default:
			v := verdict{o, cursor}
			verdicts = append(verdicts, v)
			ev.checkVerdict(v)
		}
	}
	ev.checkKeysInResults(verdicts)
	ev.checkOneOwner(verdicts)
	ev.checkConnectionOrder(verdicts)
}

// checkVerdict compares one verdict with its transaction.
func (ev *evaluation) checkVerdict(v verdict) {
	report := func(promise Promise, format string, values ...any) {
		ev.reportOperation(v.Operation, promise, "it was %s: %s", v.Answer, fmt.Sprintf(format, values...))
	}
	if ev.compareWithHistory(v.Proposal.ShareData, v.cursor, v.assertion(), report) {
		ev.noteKnown(v.Proposal.ShareData, v.Proposal.Proposer, knownPosition{v.AnswerOrder, v.cursor, v.Proposal.Server})
	}
	h := ev.histories[v.Proposal.ShareData]
	if h == nil || h.chains[v.cursor.Epoch] == nil {
		return
	}
	e := h.chains[v.cursor.Epoch].entry(v.cursor.Revision)
	switch {
	case e == nil || e.Type != sharedata.EntryTransaction:
	case v.Proposal.Key != "" && e.IdempotencyKey != v.Proposal.Key:
		report(OnceOnly, "that transaction has the key %.60q", e.IdempotencyKey)
	case v.Kind == OperationPropose && !v.Answer.Duplicate && !sameJSON(v.Proposal.Data, e.Data):
		report(CommittedBeforeSeen, "that transaction is about the data %.60s", e.Data)
	}
}

// assertion is what the result says about the entry that it names.
func (v verdict) assertion() assertion {
	a := assertion{hasType: true, entryType: v.entryType()}
	switch {
	case v.Kind != OperationPropose:
		a.hasState, a.state = true, sharedata.HashState(v.Proposal.Data)
		return a
	case !v.Answer.Duplicate:
		a.function = v.Proposal.Function // a repeat may name another function, and gets the first verdict
	}
	a.hasVerdict, a.accepted = true, v.Answer.Accepted
	return a
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// checkOneOwner looks for transactions that are the result of several proposals.
func (ev *evaluation) checkOneOwner(verdicts []verdict) {
	owners := make(map[position]verdict)
	for _, v := range verdicts {
		if v.Answer.Duplicate {
			continue
		}
		at := position{v.Proposal.ShareData, v.cursor}
		if first, taken := owners[at]; taken {
			ev.reportOperation(v.Operation, OneWinner, "it was %s, and so was %s", v.Answer, first.place())
			continue
		}
		owners[at] = v
	}
}

// checkConnectionOrder demands that the proposals of one connection to one ShareData
// are decided in the order of sending.
func (ev *evaluation) checkConnectionOrder(verdicts []verdict) {
	type sender struct{ connection, shareData string }
	newest := make(map[sender]verdict)
	for _, v := range verdicts { // in the order of sending
		if v.Proposal.Connection == "" || v.Answer.Duplicate {
			continue
		}
		c := sender{v.Proposal.Connection, v.Proposal.ShareData}
		before, any := newest[c]
		if any && before.cursor.Epoch == v.cursor.Epoch && before.cursor.Revision > v.cursor.Revision {
			ev.reportOperation(v.Operation, Ordered, "it was %s, and the one sent before it on this connection %s", v.Answer, before.Answer)
			continue
		}
		newest[c] = v
	}
}

// checkKeysInResults demands one verdict for each key, and that all results of a
// key but one are duplicates.
func (ev *evaluation) checkKeysInResults(verdicts []verdict) {
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
				ev.reportOperation(v.Operation, OnceOnly, "it was %s, but it has no key", v.Answer)
			}
			continue
		}
		before, again := first[k]
		owned, hasOwner := owner[decision{k, v.cursor}]
		switch {
		case hasOwner && !v.Answer.Duplicate:
			ev.reportOperation(v.Operation, OnceOnly, "it was %s, which does not say that it repeats %s", v.Answer, owned.place())
		case again && before.cursor != v.cursor:
			older := min(before.cursor.Revision, v.cursor.Revision)
			if ev.remembered(older, max(before.cursor.Revision, v.cursor.Revision)) {
				ev.reportOperation(v.Operation, OnceOnly, "it was %s, and before that %s", v.Answer, before.Answer)
			}
		case again && before.Answer.Accepted != v.Answer.Accepted:
			ev.reportOperation(v.Operation, OnceOnly, "it was %s, and before that %s", v.Answer, before.Answer)
		}
		if !again {
			first[k] = v
		}
		if !v.Answer.Duplicate {
			owner[decision{k, v.cursor}] = v
		}
	}
}
