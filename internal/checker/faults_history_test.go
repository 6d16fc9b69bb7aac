package checker_test

import (
	"encoding/json"
	"slices"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// read returns the index of a step that reads a history of at least n entries.
func (p *injector) read(n int) (int, bool) {
	var steps []int
	for i := range p.script {
		if p.script[i].kind == readsHistory && len(p.script[i].entries) >= n {
			steps = append(steps, i)
		}
	}
	return pick(p, steps, func(int) bool { return true })
}

// inHistory injects a fault into a history of at least n entries that is read.
func inHistory(n int, change func(*injector, int)) func(*injector) bool {
	return func(p *injector) bool {
		i, ok := p.read(n)
		if ok {
			change(p, i)
		}
		return ok
	}
}

// forget drops the commits of a ShareData.
func (p *injector) forget(id string) {
	p.script = slices.DeleteFunc(p.script, func(st step) bool {
		return st.kind == commits && st.events[0].ShareDataID == id
	})
}

// observe replaces the entries of commits by those of a rewritten history.
func (p *injector) observe(entries []sharedata.Entry) {
	rewritten := make(map[replay.Cursor]sharedata.Entry)
	for _, e := range entries {
		rewritten[e.Cursor] = e
	}
	for i := range p.script {
		for k := range p.script[i].events {
			if e, ok := rewritten[p.script[i].events[k].Cursor]; ok {
				p.script[i].events[k].Entry = e
			}
		}
	}
}

// rewrite changes the history of a ShareData and repairs the chain of hashes to hide
// it. change returns the index of the first entry that it changes.
func (p *injector) rewrite(change func([]sharedata.Entry) (int, bool)) bool {
	if _, ok := p.read(4); !ok {
		return false
	}
	for i := range p.script {
		if p.script[i].kind != readsHistory {
			continue
		}
		entries := p.script[i].entries
		if from, ok := change(entries); ok {
			reseal(entries, from)
			p.observe(entries)
			return true
		}
	}
	return false
}

func transactionAt(entries []sharedata.Entry, fits func(int) bool) (int, bool) {
	for i := 1; i < len(entries); i++ {
		if entries[i].Type == sharedata.EntryTransaction && fits(i) {
			return i, true
		}
	}
	return 0, false
}

var anything = []checker.Promise{
	checker.CommittedBeforeSeen, checker.OneWinner, checker.Complete, checker.OnceOnly, checker.Auditable,
}

var historyFaults = []fault{
	{"a hash is altered", checker.Auditable, []checker.Promise{checker.OneWinner}, inHistory(3, func(p *injector, i int) {
		p.script[i].entries[1].Hash[7]++
	})},
	{"proposed data is altered", checker.Auditable, anything, func(p *injector) bool {
		i, ok := p.read(3)
		if !ok {
			return false
		}
		at, ok := transactionAt(p.script[i].entries, func(int) bool { return true })
		p.script[i].entries[at].Data = json.RawMessage(`{"by":1000}`)
		return ok
	}},
	{"two entries change places", checker.Auditable, nil, inHistory(4, func(p *injector, i int) {
		e := p.script[i].entries
		e[1], e[2] = e[2], e[1]
	})},
	{"an entry is cut out", checker.Auditable, anything, inHistory(5, func(p *injector, i int) {
		id := p.script[i].entries[0].ShareDataID
		p.script[i].entries = slices.Delete(p.script[i].entries, 2, 3)
		p.forget(id)
	})},
	{"an acknowledged proposal is cut out of the middle", checker.CommittedBeforeSeen, anything, func(p *injector) bool {
		at, ok := p.acknowledged(func(c sharedata.Entry, last int) bool { return true })
		if !ok {
			return false
		}
		for i := range p.script {
			if p.script[i].kind == readsHistory && p.script[i].entries[0].ShareDataID == at.ShareDataID {
				p.script[i].entries = slices.DeleteFunc(p.script[i].entries, func(e sharedata.Entry) bool { return e.Cursor == at.Cursor })
			}
		}
		p.forget(at.ShareDataID)
		return true
	}},
	{"an acknowledged proposal is lost with all that came after", checker.CommittedBeforeSeen, anything, func(p *injector) bool {
		at, ok := p.acknowledged(func(c sharedata.Entry, oldest int) bool { return c.Revision() > uint64(oldest)+1 })
		if !ok {
			return false
		}
		for i := range p.script {
			if p.script[i].kind == readsHistory && p.script[i].entries[0].ShareDataID == at.ShareDataID {
				p.script[i].entries = slices.DeleteFunc(p.script[i].entries, func(e sharedata.Entry) bool { return e.Revision() >= at.Revision() })
			}
		}
		p.forget(at.ShareDataID)
		return true
	}},
	{"a rejected proposal changes the state", checker.Auditable, anything, func(p *injector) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			i, ok := transactionAt(e, func(i int) bool { return !e[i].Accepted })
			if ok {
				e[i].StateHash[0]++
			}
			return i, ok
		})
	}},
	{"a function computes something else", checker.OneWinner, anything, func(p *injector) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			if e[0].ShareDataID != "counter" {
				return 0, false
			}
			i, ok := transactionAt(e, func(i int) bool { return e[i].Accepted && p.simulation.observed })
			if ok {
				e[i].Data = json.RawMessage(`{"by":1000}`)
			}
			return i, ok
		})
	}},
	{"a function decides otherwise", checker.OneWinner, anything, func(p *injector) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			i, ok := transactionAt(e, func(i int) bool { return e[i].Accepted && p.simulation.observed })
			if ok {
				e[i].Accepted, e[i].StateHash = false, e[i-1].StateHash
			}
			return i, ok
		})
	}},
	{"a key takes effect twice", checker.OnceOnly, anything, func(p *injector) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			first, ok := transactionAt(e, func(i int) bool { return e[i].IdempotencyKey != "" })
			if !ok {
				return 0, false
			}
			i, ok := transactionAt(e, func(i int) bool { return i > first && i < first+8 })
			if ok {
				e[i].IdempotencyKey = e[first].IdempotencyKey
			}
			return i, ok
		})
	}},
	{"a revision is decided twice", checker.OneWinner, anything, inHistory(4, func(p *injector, i int) {
		other := slices.Clone(p.script[i].entries)
		last := len(other) - 1
		other[last].Time = other[last].Time.Add(1)
		reseal(other, last)
		p.script = append(p.script, step{kind: readsHistory, entries: other})
	})},
	{"subscribers see two entries at one revision", checker.OneWinner, nil, func(p *injector) bool {
		in, ok := p.segment(func(p *injector, of *segment) bool { return len(p.transactions(of.live)) > 0 && !p.isLive(of) })
		if !ok {
			return false
		}
		f := p.transaction(p.transactions(in.live)[0])
		if !p.others(in.log, f.TransactionID) {
			return false
		}
		f.FunctionID = "other"
		p.forget(in.log.id)
		p.script = slices.DeleteFunc(p.script, func(st step) bool {
			return (st.kind == readsHistory || st.kind == readsFinal) && (st.snapshot.ID == in.log.id || len(st.entries) > 0 && st.entries[0].ShareDataID == in.log.id)
		})
		p.script = slices.DeleteFunc(p.script, func(st step) bool { return st.kind == hasResult && st.answer.TransactionID == f.TransactionID })
		for _, t := range p.simulation.shareData { // without a history, completeness is not evaluated
			if t.id == in.log.id {
				for _, simSubscriber := range p.simulation.subscribers {
					if simSubscriber.shareData == t {
						p.script = append(p.script, step{kind: unsubscribes, log: simSubscriber.log})
					}
				}
			}
		}
		return true
	}},
	{"the final state is not that of the history", checker.Auditable, nil, func(p *injector) bool {
		for i := range p.script {
			if p.script[i].kind == readsFinal {
				p.script[i].snapshot.State = json.RawMessage(`"other"`)
				return true
			}
		}
		return false
	}},
	{"the final position is not the end of the history", checker.Auditable, []checker.Promise{checker.Complete}, func(p *injector) bool {
		for i := range p.script {
			if p.script[i].kind == readsFinal {
				p.script[i].snapshot.Cursor.Revision++
				return true
			}
		}
		return false
	}},
}

// acknowledged returns a random entry that a result names and that is in a history
// that is read.
func (p *injector) acknowledged(fits func(e sharedata.Entry, oldest int) bool) (sharedata.Entry, bool) {
	answered := make(map[string]bool)
	for _, st := range p.script {
		if st.kind == hasResult && st.answer.TransactionID != "" {
			answered[st.answer.TransactionID] = true
		}
	}
	var entries []sharedata.Entry
	for _, st := range p.script {
		if st.kind != readsHistory {
			continue
		}
		oldest := int(st.entries[0].Revision())
		for _, e := range st.entries[1:] {
			if answered[e.Cursor.String()] && fits(e, oldest) {
				entries = append(entries, e)
			}
		}
	}
	return pick(p, entries, func(sharedata.Entry) bool { return true })
}

// others reports whether another subscriber received a live transaction.
func (p *injector) others(but logKey, transactionID string) bool {
	for i := range p.script {
		if f := p.transaction(i); f != nil && p.script[i].log != but && f.TransactionID == transactionID {
			return true
		}
	}
	return false
}
