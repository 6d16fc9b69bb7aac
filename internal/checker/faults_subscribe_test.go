package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// replays accepts segments with at least n replayed frames.
func replays(n int) func(*injector, *segment) bool {
	return atSubscriber(func(p *injector, of *segment) bool { return of.alone && len(of.replayed) >= n })
}

// since returns the cursor that a segment was to resume from, and whether it is one
// of the same history.
func (p *injector) since(of *segment) (from, at replay.Cursor, same bool) {
	at, _ = p.script[of.state].place()
	from, err := replay.ParseCursor(of.since)
	return from, at, err == nil && from.Epoch == at.Epoch && from.Revision <= at.Revision
}

var subscribeFaults = []fault{
	{"one more replayed frame is announced than comes", checker.Resumable, nil, inSegment(replays(1), func(p *injector, in *segment) {
		p.state(in).Replaying++
	})},
	{"one replayed frame less is announced than comes", checker.Resumable, nil, inSegment(replays(2), func(p *injector, in *segment) {
		p.state(in).Replaying--
	})},
	{"a replay without its first frame is announced as complete", checker.Resumable, []checker.Promise{checker.Gapless}, inSegment(replays(2), func(p *injector, in *segment) {
		p.state(in).Replaying--
		p.drop(in.replayed[0])
	})},
	{"a replay without its last frame is announced as complete", checker.Resumable, []checker.Promise{checker.Gapless, checker.Complete}, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return of.alone && len(of.replayed) >= 2 && int(p.state(of).Replaying) == len(of.replayed)
	}), func(p *injector, in *segment) {
		p.state(in).Replaying--
		p.drop(in.replayed[len(in.replayed)-1])
	})},
	{"a replay is left out without a report", checker.Resumable, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return of.alone && len(of.replayed) > 0 && len(of.live) > 0 }), func(p *injector, in *segment) {
		p.state(in).Replaying = 0
		p.dropAll(in.replayed)
	})},
	{"a cursor inside the window is not found", checker.Resumable, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return of.alone && len(of.replayed) > 0 && p.surelyKept(of)
	}), func(p *injector, in *segment) {
		p.state(in).Replaying = 0
		p.script[in.replayed[0]].frame = &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id}
		p.dropAll(in.replayed[1:])
	})},
	{"\"cursor not found\" where nothing was missed", checker.Resumable, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		from, at, same := p.since(of)
		return of.alone && same && from == at
	}), func(p *injector, in *segment) {
		p.receive(in.state+1, in, &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id})
	})},
	{"\"cursor not found\" where no cursor was sent", checker.Resumable, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return of.since == "" && p.isolated(of) }), func(p *injector, in *segment) {
		p.receive(in.state+1, in, &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id})
	})},
	{"\"cursor not found\" is left out", checker.Resumable, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return p.isolated(of) && of.notFound >= 0 && len(of.live) > 0 }), func(p *injector, in *segment) {
		p.drop(in.notFound)
	})},
	{"\"cursor not found\" after live frames", checker.Resumable, []checker.Promise{checker.OneWinner}, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return p.isolated(of) && of.notFound >= 0 && len(of.live) > 0 && of.live[0] != of.removed
	}), func(p *injector, in *segment) {
		p.move(in.live[0], in.notFound)
	})},
	{"more is replayed than the window allows", checker.Resumable, nil, func(p *injector) bool {
		in, ok := p.segment(atSubscriber(func(p *injector, of *segment) bool {
			from, at, same := p.since(of)
			return same && of.notFound >= 0 && of.alone && p.simulation.entry(from) != nil && at.Revision-from.Revision > uint64(p.simulation.window)
		}))
		if !ok {
			return false
		}
		from, at, _ := p.since(in)
		p.state(in).Replaying = at.Revision - from.Revision
		p.drop(in.notFound)
		for revision := at.Revision; revision > from.Revision; revision-- {
			e := p.simulation.entry(replay.Cursor{Epoch: at.Epoch, Revision: revision})
			p.receive(in.state+1, in, replayedFrame(*e))
		}
		return true
	}},
	{"the cursor of an old epoch is matched", checker.Resumable, nil, func(p *injector) bool {
		in, ok := p.segment(atSubscriber(func(p *injector, of *segment) bool {
			at, _ := p.script[of.state].place()
			from, err := replay.ParseCursor(of.since)
			return of.alone && err == nil && of.notFound >= 0 && from.Epoch != at.Epoch && p.simulation.entry(at) != nil && at.Revision > 1
		}))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		p.state(in).Replaying = 1
		p.script[in.notFound].frame = replayedFrame(*p.simulation.entry(at))
		return true
	}},
	{"a frame is replayed where no cursor was sent", checker.Resumable, nil, func(p *injector) bool {
		in, ok := p.segment(atSubscriber(func(p *injector, of *segment) bool {
			at, _ := p.script[of.state].place()
			return of.since == "" && of.asked >= 0 && of.fresh && p.simulation.entry(at) != nil && at.Revision > 1
		}))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		p.receive(in.state+1, in, replayedFrame(*p.simulation.entry(at)))
		return true
	}},
	{"a snapshot is older than a position that was known", checker.OneWinner, nil, inSegment(func(p *injector, of *segment) bool { return len(of.live) > 0 && len(p.inHistory([]int{of.state})) > 0 }, func(p *injector, in *segment) {
		late := logKey{name: "late", id: in.log.id}
		p.script = append(p.script, step{kind: subscribes, log: late}, step{kind: receives, log: late, frame: p.bare(in)}, step{kind: unsubscribes, log: late})
	})},
}

// bare returns the snapshot of a segment, without announced replay.
func (p *injector) bare(of *segment) *wire.State {
	snapshot := *p.state(of)
	snapshot.Replaying = 0
	return &snapshot
}
