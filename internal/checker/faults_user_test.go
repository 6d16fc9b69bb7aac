package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
)

var userFaults = []fault{
	{"a client drops an event", checker.Gapless, nil, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return len(of.live) >= 2 }))
		if ok {
			p.drop(in.live[p.rng.IntN(len(in.live)-1)])
		}
		return ok
	}},
	{"a client repeats an event", checker.Once, nil, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return len(of.live) > 0 && of.removed < 0 }))
		if ok {
			p.repeat(in.live[p.rng.IntN(len(in.live))])
		}
		return ok
	}},
	{"a client swaps two events", checker.Ordered, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return len(of.live) >= 2 && of.removed < 0 }))
		if ok {
			p.swap(in.live[0], in.live[1])
		}
		return ok
	}},
	{"a client jumps over a gap in silence", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return of.told >= 0 && !p.toldBefore(of) }))
		if ok {
			p.drop(in.told)
		}
		return ok
	}},
	{"a client calls a gap a resumption", checker.Resumable, []checker.Promise{checker.Gapless, checker.Complete}, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return of.told >= 0 && !p.toldBefore(of) }))
		if !ok {
			return false
		}
		p.script[in.state].resumed = true
		return true
	}},
	{"a client resumes and swallows what it missed", checker.Gapless, []checker.Promise{checker.Complete}, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool {
			return p.script[of.state].resumed && len(of.replayed) > 0 && len(of.live) > 0
		}))
		if ok {
			p.dropAll(in.replayed)
		}
		return ok
	}},
	{"a client delivers the last event again after it resumed", checker.Once, nil, func(p *planter) bool {
		for i, in := range p.parts {
			if !in.log.user || !p.script[in.state].resumed || len(in.replayed) == 0 {
				continue
			}
			for j := i - 1; j >= 0; j-- {
				before := p.parts[j]
				if before.log != in.log {
					continue
				}
				if n := len(before.live); n > 0 && len(p.transactions(before.live[n-1:])) == 1 {
					f := *p.transaction(before.live[n-1])
					f.Replayed, f.CurrentState = true, nil
					p.insert(in.state+1, step{kind: gets, log: in.log, frame: &f})
					return true
				}
				break
			}
		}
		return false
	}},
	{"a client tells of a gap where it could have resumed", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool {
			return p.script[of.state].resumed && len(of.replayed) > 0 && p.world.retention == 0
		}))
		if ok {
			p.script[in.state].resumed = false
			p.dropAll(in.replayed)
			p.insert(in.state, step{kind: gapTold, log: in.log})
		}
		return ok
	}},
	{"no state follows a gap", checker.Complete, nil, func(p *planter) bool {
		in, ok := p.part(atUser(p.lasting))
		if ok {
			p.script = append(p.script, step{kind: gapTold, log: in.log})
		}
		return ok
	}},
	{"an event comes between a gap and the state", checker.Resumable, []checker.Promise{checker.Gapless, checker.OneWinner, checker.Complete}, func(p *planter) bool {
		in, ok := p.part(atUser(func(of *part) bool { return of.told >= 0 && len(of.live) > 1 && of.live[0] != of.removed }))
		if ok {
			p.move(in.live[0], in.state)
		}
		return ok
	}},
}

// toldBefore reports whether the user was told of more than one gap, or had
// nothing to continue from, before this state.
func (p *planter) toldBefore(of *part) bool {
	for i := of.told - 1; i >= 0; i-- {
		st := &p.script[i]
		if st.kind > gapTold || st.log != of.log {
			continue
		}
		return st.kind != gets
	}
	return true
}
