package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
)

// answer returns the index of a random result that fits.
func (p *injector) answer(fits func(st, proposed *step) bool) (int, bool) {
	proposed := make(map[int]*step)
	var steps []int
	for i := range p.script {
		switch st := &p.script[i]; st.kind {
		case proposes:
			proposed[st.op] = st
		case hasResult:
			if proposed[st.op] != nil && fits(st, proposed[st.op]) {
				steps = append(steps, i)
			}
		}
	}
	return pick(p, steps, func(int) bool { return true })
}

// final reports whether a result names an entry of a history that is read.
func (p *injector) final(st *step) bool {
	for i := range p.script {
		for _, e := range p.script[i].entries {
			if e.Cursor.String() == st.answer.TransactionID {
				return true
			}
		}
	}
	return false
}

// inResult injects a fault into a random result that fits.
func inResult(fits func(p *injector, st, proposed *step) bool, change func(*injector, int)) func(*injector) bool {
	return func(p *injector) bool {
		i, ok := p.answer(func(st, proposed *step) bool { return fits(p, st, proposed) })
		if ok {
			change(p, i)
		}
		return ok
	}
}

var resultFaults = []fault{
	{"a result inverts the verdict", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, inResult(func(p *injector, st, _ *step) bool { return p.final(st) }, func(p *injector, i int) {
		p.script[i].answer.Accepted = !p.script[i].answer.Accepted
	})},
	{"an answer names a transaction that does not exist", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, inResult(func(p *injector, st, _ *step) bool { return p.final(st) }, func(p *injector, i int) {
		for _, t := range p.simulation.shareData {
			if t.exists && p.owns(t, p.script[i].answer.TransactionID) {
				at := t.head().Cursor
				p.script[i].answer.TransactionID = cursorText(at.Epoch, at.Revision+3)
			}
		}
	})},
	{"an answer accepts without naming a transaction", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, inResult(func(p *injector, st, _ *step) bool { return st.answer.Accepted }, func(p *injector, i int) {
		p.script[i].answer.TransactionID = ""
	})},
	{"an answer names something that is not a cursor", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, inResult(func(p *injector, st, _ *step) bool { return st.answer.TransactionID != "" }, func(p *injector, i int) {
		p.script[i].answer.TransactionID = "nonsense"
	})},
	{"two proposals win one revision", checker.OneWinner, []checker.Promise{checker.CommittedBeforeSeen, checker.OnceOnly}, func(p *injector) bool {
		owner := func(st, proposed *step) bool {
			return st.answer.TransactionID != "" && !st.answer.Duplicate && proposed.proposal.ShareData == "counter"
		}
		i, ok := p.answer(owner)
		if !ok {
			return false
		}
		j, ok := p.answer(func(st, proposed *step) bool { return owner(st, proposed) && st.op != p.script[i].op })
		if ok {
			p.script[j].answer = p.script[i].answer
		}
		return ok
	}},
	{"a repeat is not called a duplicate", checker.OnceOnly, []checker.Promise{checker.OneWinner}, inResult(func(p *injector, st, _ *step) bool { return st.answer.Duplicate && p.owned(st) }, func(p *injector, i int) {
		p.script[i].answer.Duplicate = false
	})},
	{"a proposal without a key is called a duplicate", checker.OnceOnly, nil, inResult(func(p *injector, st, proposed *step) bool {
		return st.answer.TransactionID != "" && proposed.proposal.Key == ""
	}, func(p *injector, i int) {
		p.script[i].answer.Duplicate = true
	})},
	{"a repeat gets another transaction", checker.OnceOnly, []checker.Promise{checker.CommittedBeforeSeen, checker.OneWinner}, func(p *injector) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.Duplicate && p.owned(st) && p.simulation.retention == 0 })
		if !ok {
			return false
		}
		j, ok := p.answer(func(st, proposed *step) bool {
			return st.answer.TransactionID != "" && p.sameEpoch(st, &p.script[i]) && st.answer.TransactionID != p.script[i].answer.TransactionID
		})
		if ok {
			p.script[i].answer.TransactionID = p.script[j].answer.TransactionID
			p.script[i].answer.Accepted = p.script[j].answer.Accepted
		}
		return ok
	}},
	{"one proposal is answered twice, and differently", checker.OnceOnly, nil, inResult(func(p *injector, st, _ *step) bool { return st.answer.TransactionID != "" }, func(p *injector, i int) {
		p.repeat(i)
		p.script[i+1].answer.Accepted = !p.script[i].answer.Accepted
	})},
	{"a later proposal is decided before an earlier one that was answered", checker.OneWinner, nil, func(p *injector) bool {
		// The two proposals change places, so the history contradicts the order in
		// time.
		plain := func(st, proposed *step) bool {
			return st.answer.TransactionID != "" && proposed.proposal.Key == "" && proposed.proposal.ShareData == "counter"
		}
		i, ok := p.answer(plain)
		if !ok {
			return false
		}
		sent := 0
		j, ok := p.answer(func(st, proposed *step) bool {
			return plain(st, proposed) && p.sameEpoch(st, &p.script[i]) && p.sentAt(st.op) > i
		})
		if !ok {
			return false
		}
		sent = p.sentAt(p.script[j].op)
		first := p.sentAt(p.script[i].op)
		p.script[first].proposal, p.script[sent].proposal = p.script[sent].proposal, p.script[first].proposal
		p.script[i].answer, p.script[j].answer = p.script[j].answer, p.script[i].answer
		return true
	}},
}

func (p *injector) owns(t *simShareData, transactionID string) bool {
	for _, e := range t.entries {
		if e.Cursor.String() == transactionID {
			return true
		}
	}
	return false
}

// owned reports whether the first result, which this one repeats, was received.
func (p *injector) owned(repeat *step) bool {
	for i := range p.script {
		st := &p.script[i]
		if st.kind == hasResult && !st.answer.Duplicate && st.answer.TransactionID == repeat.answer.TransactionID {
			return true
		}
	}
	return false
}

// sameEpoch reports whether two results are about one epoch of one ShareData.
func (p *injector) sameEpoch(a, b *step) bool {
	epoch := func(st *step) string { return st.answer.TransactionID[:4] }
	return p.script[p.sentAt(a.op)].proposal.ShareData == p.script[p.sentAt(b.op)].proposal.ShareData && epoch(a) == epoch(b)
}

func (p *injector) sentAt(op int) int {
	for i := range p.script {
		if p.script[i].kind == proposes && p.script[i].op == op {
			return i
		}
	}
	return -1
}
