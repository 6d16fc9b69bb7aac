package checker

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// verdict is an answer that names its transaction.
type verdict struct {
	*Operation
	cursor replay.Cursor
}

func (j *judge) reportAnswer(o *Operation, promise Promise, format string, values ...any) {
	j.report(Violation{
		Promise: promise, ShareData: o.Proposal.ShareData, Subscriber: o.Proposal.Proposer,
		Where: o.place(), Explanation: fmt.Sprintf(format, values...),
	})
}

// judgeAnswers holds what proposers were answered against the history.
func (j *judge) judgeAnswers() {
	var verdicts []verdict
	for _, o := range j.answers {
		switch cursor, err := replay.ParseCursor(o.Answer.TransactionID); {
		case !o.Answered || o.Answer.TransactionID == "" && !o.Answer.Accepted:
		case o.Answer.TransactionID == "":
			j.reportAnswer(o, CommittedBeforeSeen, "it was accepted without a transactionId")
		case err != nil:
			j.reportAnswer(o, CommittedBeforeSeen, "its transactionId is %.60q, which is no cursor", o.Answer.TransactionID)
		default:
			v := verdict{o, cursor}
			verdicts = append(verdicts, v)
			j.judgeVerdict(v)
		}
	}
	j.onceInAnswers(verdicts)
	j.oneProposalEach(verdicts)
	j.sentOrder(verdicts)
	j.sentBeforeDecided(verdicts)
}

func (j *judge) judgeVerdict(v verdict) {
	report := func(promise Promise, format string, values ...any) {
		j.reportAnswer(v.Operation, promise, "it was %s: %s", v.Answer, fmt.Sprintf(format, values...))
	}
	if j.claimed(v.Proposal.ShareData, v.cursor, v.claim(), report) {
		j.sight(v.Proposal.ShareData, v.Proposal.Proposer, sighting{v.AnswerOrder, v.cursor, v.Proposal.Server})
	}
	h := j.histories[v.Proposal.ShareData]
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

// claim is what the answer says of the entry that it names.
func (v verdict) claim() claim {
	c := claim{hasType: true, entryType: v.entryType()}
	switch {
	case v.Kind != OperationPropose:
		c.hasState, c.state = true, sharedata.HashState(v.Proposal.Data)
		return c
	case !v.Answer.Duplicate:
		c.function = v.Proposal.Function // a repeat may ask for another one, and gets the first verdict all the same
	}
	c.hasVerdict, c.accepted = true, v.Answer.Accepted
	return c
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// oneProposalEach looks for transactions that several proposals were told to
// be theirs.
func (j *judge) oneProposalEach(verdicts []verdict) {
	owners := make(map[position]verdict)
	for _, v := range verdicts {
		if v.Answer.Duplicate {
			continue
		}
		at := position{v.Proposal.ShareData, v.cursor}
		if first, taken := owners[at]; taken {
			j.reportAnswer(v.Operation, OneWinner, "it was %s, and so was %s", v.Answer, first.place())
			continue
		}
		owners[at] = v
	}
}

// sentOrder judges the order of the verdicts of one connection.
func (j *judge) sentOrder(verdicts []verdict) {
	type lane struct{ connection, shareData string }
	newest := make(map[lane]verdict)
	for _, v := range verdicts { // in the order of sending
		if v.Proposal.Connection == "" || v.Answer.Duplicate {
			continue
		}
		l := lane{v.Proposal.Connection, v.Proposal.ShareData}
		before, any := newest[l]
		if any && before.cursor.Epoch == v.cursor.Epoch && before.cursor.Revision > v.cursor.Revision {
			j.reportAnswer(v.Operation, Ordered, "it was %s, and the one sent before it on this connection %s", v.Answer, before.Answer)
			continue
		}
		newest[l] = v
	}
}
