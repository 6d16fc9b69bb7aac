package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
)

var clientFaults = []fault{
	{"a client drops an event", checker.Gapless, nil, inSegment(atClient(func(p *injector, of *segment) bool { return len(of.live) >= 2 }), func(p *injector, in *segment) {
		p.drop(in.live[p.rng.IntN(len(in.live)-1)])
	})},
	{"a client repeats an event", checker.Once, nil, inSegment(atClient(func(p *injector, of *segment) bool { return len(of.live) > 0 && of.removed < 0 }), func(p *injector, in *segment) {
		p.repeat(in.live[p.rng.IntN(len(in.live))])
	})},
	{"a client swaps two events", checker.Ordered, []checker.Promise{checker.OneWinner}, inSegment(atClient(func(p *injector, of *segment) bool { return len(of.live) >= 2 && of.removed < 0 }), func(p *injector, in *segment) {
		p.swap(in.live[0], in.live[1])
	})},
	{"a client does not report a gap", checker.Resumable, nil, inSegment(atClient(func(p *injector, of *segment) bool { return of.notFound >= 0 && !p.gapReportedBefore(of) }), func(p *injector, in *segment) {
		p.drop(in.notFound)
	})},
	{"a client calls a gap a resumption", checker.Resumable, []checker.Promise{checker.Gapless, checker.Complete}, func(p *injector) bool {
		in, ok := p.segment(atClient(func(p *injector, of *segment) bool { return of.notFound >= 0 && !p.gapReportedBefore(of) }))
		if !ok {
			return false
		}
		p.script[in.state].resumed = true
		return true
	}},
	{"a client resumes and drops what it missed", checker.Gapless, []checker.Promise{checker.Complete}, inSegment(atClient(func(p *injector, of *segment) bool {
		return p.script[of.state].resumed && len(of.replayed) > 0 && len(of.live) > 0
	}), func(p *injector, in *segment) {
		p.dropAll(in.replayed)
	})},
	{"a client delivers the last event again after it resumed", checker.Once, nil, func(p *injector) bool {
		for i, in := range p.segments {
			if !in.log.client || !p.script[in.state].resumed || len(in.replayed) == 0 {
				continue
			}
			for j := i - 1; j >= 0; j-- {
				before := p.segments[j]
				if before.log != in.log {
					continue
				}
				if n := len(before.live); n > 0 && len(p.transactions(before.live[n-1:])) == 1 {
					f := *p.transaction(before.live[n-1])
					f.Replayed, f.CurrentState = true, nil
					p.receive(in.state+1, in, &f)
					return true
				}
				break
			}
		}
		return false
	}},
	{"a client reports a gap where it could have resumed", checker.Resumable, nil, inSegment(atClient(func(p *injector, of *segment) bool {
		return p.script[of.state].resumed && len(of.replayed) > 0 && p.surelyKept(of)
	}), func(p *injector, in *segment) {
		p.script[in.state].resumed = false
		p.dropAll(in.replayed)
		p.insert(in.state, step{kind: reportsGap, log: in.log})
	})},
	{"no state follows a gap", checker.Complete, nil, inSegment(atClient((*injector).isLive), func(p *injector, in *segment) {
		p.script = append(p.script, step{kind: reportsGap, log: in.log})
	})},
	{"an event comes between a gap and the state", checker.Resumable, []checker.Promise{checker.Gapless, checker.OneWinner, checker.Complete}, inSegment(atClient(func(p *injector, of *segment) bool {
		return of.notFound >= 0 && len(of.live) > 1 && of.live[0] != of.removed
	}), func(p *injector, in *segment) {
		p.move(in.live[0], in.state)
	})},
}

// gapReportedBefore reports whether the client reported another gap before this
// state, or had nothing to continue from.
func (p *injector) gapReportedBefore(of *segment) bool {
	for i := of.notFound - 1; i >= 0; i-- {
		st := &p.script[i]
		if st.kind > reportsGap || st.log != of.log {
			continue
		}
		return st.kind != receives
	}
	return true
}
