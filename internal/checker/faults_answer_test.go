package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
)

// answer chooses a step in which a proposer is answered.
func (p *planter) answer(fits func(st, proposed *step) bool) (int, bool) {
	proposed := make(map[int]*step)
	var steps []int
	for i := range p.script {
		switch st := &p.script[i]; st.kind {
		case proposes:
			proposed[st.op] = st
		case hears:
			if proposed[st.op] != nil && fits(st, proposed[st.op]) {
				steps = append(steps, i)
			}
		}
	}
	return pick(p, steps, func(int) bool { return true })
}

// final reports whether an answer names an entry of the history that is read
// in the end.
func (p *planter) final(st *step) bool {
	for i := range p.script {
		for _, e := range p.script[i].entries {
			if e.Cursor.String() == st.answer.TransactionID {
				return true
			}
		}
	}
	return false
}

var answerFaults = []fault{
	{"an answer turns the verdict round", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return p.final(st) })
		if ok {
			p.script[i].answer.Accepted = !p.script[i].answer.Accepted
		}
		return ok
	}},
	{"an answer names a transaction that does not exist", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return p.final(st) })
		if ok {
			for _, t := range p.world.things {
				if t.exists && p.owns(t, p.script[i].answer.TransactionID) {
					at := t.head().Cursor
					p.script[i].answer.TransactionID = cursorText(at.Epoch, at.Revision+3)
				}
			}
		}
		return ok
	}},
	{"an answer accepts without naming a transaction", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.Accepted })
		if ok {
			p.script[i].answer.TransactionID = ""
		}
		return ok
	}},
	{"an answer names what is no cursor", checker.CommittedBeforeSeen, []checker.Promise{checker.OnceOnly}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.TransactionID != "" })
		if ok {
			p.script[i].answer.TransactionID = "nonsense"
		}
		return ok
	}},
	{"two proposals win one revision", checker.OneWinner, []checker.Promise{checker.CommittedBeforeSeen, checker.OnceOnly}, func(p *planter) bool {
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
	{"a repeat is not called a duplicate", checker.OnceOnly, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.Duplicate && p.owned(st) })
		if ok {
			p.script[i].answer.Duplicate = false
		}
		return ok
	}},
	{"a proposal without a key is called a duplicate", checker.OnceOnly, nil, func(p *planter) bool {
		i, ok := p.answer(func(st, proposed *step) bool { return st.answer.TransactionID != "" && proposed.proposal.Key == "" })
		if ok {
			p.script[i].answer.Duplicate = true
		}
		return ok
	}},
	{"a repeat gets another transaction", checker.OnceOnly, []checker.Promise{checker.CommittedBeforeSeen, checker.OneWinner}, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.Duplicate && p.owned(st) && p.world.retention == 0 })
		if !ok {
			return false
		}
		j, ok := p.answer(func(st, proposed *step) bool {
			return st.answer.TransactionID != "" && p.sameThing(st, &p.script[i]) && st.answer.TransactionID != p.script[i].answer.TransactionID
		})
		if ok {
			p.script[i].answer.TransactionID = p.script[j].answer.TransactionID
			p.script[i].answer.Accepted = p.script[j].answer.Accepted
		}
		return ok
	}},
	{"one proposal is answered twice, and differently", checker.OnceOnly, nil, func(p *planter) bool {
		i, ok := p.answer(func(st, _ *step) bool { return st.answer.TransactionID != "" })
		if ok {
			p.repeat(i)
			p.script[i+1].answer.Accepted = !p.script[i].answer.Accepted
		}
		return ok
	}},
	{"a later proposal is decided before an earlier one that was answered", checker.OneWinner, nil, func(p *planter) bool {
		// Whoever sent the later one was in truth the one who sent the earlier
		// one, so the history says the opposite of the order in time.
		plain := func(st, proposed *step) bool {
			return st.answer.TransactionID != "" && proposed.proposal.Key == "" && proposed.proposal.ShareData == "counter"
		}
		i, ok := p.answer(plain)
		if !ok {
			return false
		}
		sent := 0
		j, ok := p.answer(func(st, proposed *step) bool {
			return plain(st, proposed) && p.sameThing(st, &p.script[i]) && p.sentAt(st.op) > i
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

func (p *planter) owns(t *thing, transactionID string) bool {
	for _, e := range t.entries {
		if e.Cursor.String() == transactionID {
			return true
		}
	}
	return false
}

// owned reports whether the first answer, of which this one is a repeat, was
// received as well.
func (p *planter) owned(repeat *step) bool {
	for i := range p.script {
		st := &p.script[i]
		if st.kind == hears && !st.answer.Duplicate && st.answer.TransactionID == repeat.answer.TransactionID {
			return true
		}
	}
	return false
}

// sameThing reports whether two answers are about one ShareData and epoch.
func (p *planter) sameThing(a, b *step) bool {
	epoch := func(st *step) string { return st.answer.TransactionID[:4] }
	return p.script[p.sentAt(a.op)].proposal.ShareData == p.script[p.sentAt(b.op)].proposal.ShareData && epoch(a) == epoch(b)
}

func (p *planter) sentAt(op int) int {
	for i := range p.script {
		if p.script[i].kind == proposes && p.script[i].op == op {
			return i
		}
	}
	return -1
}
