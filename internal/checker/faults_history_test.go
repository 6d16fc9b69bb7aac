package checker_test

import (
	"encoding/json"
	"slices"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// read returns the index of a step that reads a history of at least n entries.
func (p *planter) read(n int) (int, bool) {
	var steps []int
	for i := range p.script {
		if p.script[i].kind == reads && len(p.script[i].entries) >= n {
			steps = append(steps, i)
		}
	}
	return pick(p, steps, func(int) bool { return true })
}

// forget drops what observers were told of a ShareData.
func (p *planter) forget(id string) {
	p.script = slices.DeleteFunc(p.script, func(st step) bool {
		return st.kind == commits && st.events[0].ShareDataID == id
	})
}

// observe makes the commits the ones of a history that was rewritten.
func (p *planter) observe(entries []sharedata.Entry) {
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

// rewrite reads the history of a ShareData as one in which change has changed
// something, and that was sealed again to hide it. change returns the index of
// the first entry that is changed.
func (p *planter) rewrite(change func([]sharedata.Entry) (int, bool)) bool {
	if _, ok := p.read(4); !ok {
		return false
	}
	for i := range p.script {
		if p.script[i].kind != reads {
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
	{"a hash is altered", checker.Auditable, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		i, ok := p.read(3)
		if ok {
			p.script[i].entries[1].Hash[7]++
		}
		return ok
	}},
	{"proposed data is altered", checker.Auditable, anything, func(p *planter) bool {
		i, ok := p.read(3)
		if !ok {
			return false
		}
		at, ok := transactionAt(p.script[i].entries, func(int) bool { return true })
		p.script[i].entries[at].Data = json.RawMessage(`{"by":1000}`)
		return ok
	}},
	{"two entries change places", checker.Auditable, nil, func(p *planter) bool {
		i, ok := p.read(4)
		if ok {
			e := p.script[i].entries
			e[1], e[2] = e[2], e[1]
		}
		return ok
	}},
	{"an entry is cut out", checker.Auditable, anything, func(p *planter) bool {
		i, ok := p.read(5)
		if ok {
			id := p.script[i].entries[0].ShareDataID
			p.script[i].entries = slices.Delete(p.script[i].entries, 2, 3)
			p.forget(id)
		}
		return ok
	}},
	{"an acknowledged proposal is cut out of the middle", checker.CommittedBeforeSeen, anything, func(p *planter) bool {
		at, ok := p.acknowledged(func(c sharedata.Entry, last int) bool { return true })
		if !ok {
			return false
		}
		for i := range p.script {
			if p.script[i].kind == reads && p.script[i].entries[0].ShareDataID == at.ShareDataID {
				p.script[i].entries = slices.DeleteFunc(p.script[i].entries, func(e sharedata.Entry) bool { return e.Cursor == at.Cursor })
			}
		}
		p.forget(at.ShareDataID)
		return true
	}},
	{"an acknowledged proposal is lost with all that came after", checker.CommittedBeforeSeen, anything, func(p *planter) bool {
		at, ok := p.acknowledged(func(c sharedata.Entry, oldest int) bool { return c.Revision() > uint64(oldest)+1 })
		if !ok {
			return false
		}
		for i := range p.script {
			if p.script[i].kind == reads && p.script[i].entries[0].ShareDataID == at.ShareDataID {
				p.script[i].entries = slices.DeleteFunc(p.script[i].entries, func(e sharedata.Entry) bool { return e.Revision() >= at.Revision() })
			}
		}
		p.forget(at.ShareDataID)
		return true
	}},
	{"a rejected proposal changes the state", checker.Auditable, anything, func(p *planter) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			i, ok := transactionAt(e, func(i int) bool { return !e[i].Accepted })
			if ok {
				e[i].StateHash[0]++
			}
			return i, ok
		})
	}},
	{"a function computes something else", checker.OneWinner, anything, func(p *planter) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			if e[0].ShareDataID != "counter" {
				return 0, false
			}
			i, ok := transactionAt(e, func(i int) bool { return e[i].Accepted && p.world.observed })
			if ok {
				e[i].Data = json.RawMessage(`{"by":1000}`)
			}
			return i, ok
		})
	}},
	{"a function decides otherwise", checker.OneWinner, anything, func(p *planter) bool {
		return p.rewrite(func(e []sharedata.Entry) (int, bool) {
			i, ok := transactionAt(e, func(i int) bool { return e[i].Accepted && p.world.observed })
			if ok {
				e[i].Accepted, e[i].StateHash = false, e[i-1].StateHash
			}
			return i, ok
		})
	}},
	{"a key takes effect twice", checker.OnceOnly, anything, func(p *planter) bool {
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
	{"a revision is decided twice", checker.OneWinner, anything, func(p *planter) bool {
		i, ok := p.read(4)
		if ok {
			other := slices.Clone(p.script[i].entries)
			last := len(other) - 1
			other[last].Time = other[last].Time.Add(1)
			reseal(other, last)
			p.script = append(p.script, step{kind: reads, entries: other})
		}
		return ok
	}},
	{"subscribers are told of two decisions of one revision", checker.OneWinner, nil, func(p *planter) bool {
		in, ok := p.part(func(of *part) bool { return len(p.transactions(of.live)) > 0 && !p.lasting(of) })
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
			return (st.kind == reads || st.kind == finds) && (st.snapshot.ID == in.log.id || len(st.entries) > 0 && st.entries[0].ShareDataID == in.log.id)
		})
		p.script = slices.DeleteFunc(p.script, func(st step) bool { return st.kind == hears && st.answer.TransactionID == f.TransactionID })
		for _, t := range p.world.things { // nothing is judged for completeness without a history
			if t.id == in.log.id {
				for _, peer := range p.world.peers {
					if peer.thing == t {
						p.script = append(p.script, step{kind: leaves, log: peer.log})
					}
				}
			}
		}
		return true
	}},
	{"the final state is not that of the history", checker.Auditable, nil, func(p *planter) bool {
		for i := range p.script {
			if p.script[i].kind == finds {
				p.script[i].snapshot.State = json.RawMessage(`"other"`)
				return true
			}
		}
		return false
	}},
	{"the final position is not the end of the history", checker.Auditable, []checker.Promise{checker.Complete}, func(p *planter) bool {
		for i := range p.script {
			if p.script[i].kind == finds {
				p.script[i].snapshot.Cursor.Revision++
				return true
			}
		}
		return false
	}},
}

// acknowledged chooses an entry whose proposer was answered and that is in
// the history that was read in the end.
func (p *planter) acknowledged(fits func(e sharedata.Entry, oldest int) bool) (sharedata.Entry, bool) {
	answered := make(map[string]bool)
	for _, st := range p.script {
		if st.kind == hears && st.answer.TransactionID != "" {
			answered[st.answer.TransactionID] = true
		}
	}
	var entries []sharedata.Entry
	for _, st := range p.script {
		if st.kind != reads {
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

// others reports whether somebody else was told of a live transaction.
func (p *planter) others(but logKey, transactionID string) bool {
	for i := range p.script {
		if f := p.transaction(i); f != nil && p.script[i].log != but && f.TransactionID == transactionID {
			return true
		}
	}
	return false
}
