package checker_test

import (
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// thing returns a ShareData as it is in the end.
func (w *world) thing(id string) *thing {
	for _, t := range w.things {
		if t.id == id {
			return t
		}
	}
	return nil
}

// entry returns an entry of any epoch; nil for none.
func (w *world) entry(at replay.Cursor) *sharedata.Entry {
	if e, ok := w.archive[at]; ok {
		return &e
	}
	return nil
}

// lasting are parts that were alive at the end.
func (p *planter) lasting(of *part) bool {
	for _, peer := range p.world.peers {
		if peer.log == of.log {
			return peer.live && of.last && !of.gone
		}
	}
	return false
}

// told are live transactions that are in a recorded history.
func (p *planter) told(of *part) []int { return p.kept(p.transactions(of.live)) }

// quiet reports whether nothing was asked for while a part began.
func (p *planter) quiet(of *part) bool {
	if !of.fresh || of.asked < 0 {
		return false
	}
	for i := of.asked + 1; i < len(p.script) && (len(of.live) == 0 || i < of.live[0]); i++ {
		if p.script[i].kind == asks && p.script[i].log == of.log {
			return false
		}
	}
	return true
}

// kept are the steps whose entries are in a recorded history.
func (p *planter) kept(of []int) (kept []int) {
	for _, i := range of {
		at, _ := p.script[i].place()
		t := p.world.thing(p.script[i].log.id)
		if p.world.observed || t.exists && t.head().Cursor.Epoch == at.Epoch &&
			(p.world.retention == 0 || at.Revision+uint64(p.world.retention) > uint64(len(t.entries))) {
			kept = append(kept, i)
		}
	}
	return kept
}
