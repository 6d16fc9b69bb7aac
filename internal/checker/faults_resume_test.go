package checker_test

import (
	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
)

// replays is a part with a replay of at least n frames.
func replays(n int) func(*part) bool {
	return onWire(func(of *part) bool { return of.alone && len(of.replayed) >= n })
}

// since reads the cursor that a part was to resume from, if it was one of the
// same history.
func (p *planter) since(of *part) (from, at replay.Cursor, same bool) {
	at, _ = p.script[of.state].place()
	from, err := replay.ParseCursor(of.since)
	return from, at, err == nil && from.Epoch == at.Epoch && from.Revision <= at.Revision
}

var resumeFaults = []fault{
	{"one more replayed frame is announced than comes", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(replays(1))
		if ok {
			p.state(in).Replaying++
		}
		return ok
	}},
	{"one replayed frame less is announced than comes", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(replays(2))
		if ok {
			p.state(in).Replaying--
		}
		return ok
	}},
	{"a replay without its first frame is passed off as whole", checker.Resumable, []checker.Promise{checker.Gapless}, func(p *planter) bool {
		in, ok := p.part(replays(2))
		if ok {
			p.state(in).Replaying--
			p.drop(in.replayed[0])
		}
		return ok
	}},
	{"a replay without its last frame is passed off as whole", checker.Resumable, []checker.Promise{checker.Gapless, checker.Complete}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			return of.alone && len(of.replayed) >= 2 && int(p.state(of).Replaying) == len(of.replayed)
		}))
		if ok {
			p.state(in).Replaying--
			p.drop(in.replayed[len(in.replayed)-1])
		}
		return ok
	}},
	{"a replay is left out in silence", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return of.alone && len(of.replayed) > 0 && len(of.live) > 0 }))
		if ok {
			p.state(in).Replaying = 0
			p.dropAll(in.replayed)
		}
		return ok
	}},
	{"a cursor inside the window is not found", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return of.alone && len(of.replayed) > 0 && p.world.retention == 0 }))
		if ok {
			p.state(in).Replaying = 0
			p.script[in.replayed[0]].frame = &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id}
			p.dropAll(in.replayed[1:])
		}
		return ok
	}},
	{"the cursor is said to be lost where nothing was missed", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			from, at, same := p.since(of)
			return of.alone && same && from == at
		}))
		if ok {
			p.insert(in.state+1, step{kind: gets, log: in.log, frame: &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id}})
		}
		return ok
	}},
	{"the cursor is said to be lost where none was sent", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return of.since == "" && p.quiet(of) }))
		if ok {
			p.insert(in.state+1, step{kind: gets, log: in.log, frame: &wire.Error{Code: codes.ReplayCursorNotFound, ShareDataID: in.log.id}})
		}
		return ok
	}},
	{"nobody says that the cursor was not found", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return p.quiet(of) && of.told >= 0 && len(of.live) > 0 }))
		if ok {
			p.drop(in.told)
		}
		return ok
	}},
	{"it is said after live frames that the cursor was not found", checker.Resumable, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			return p.quiet(of) && of.told >= 0 && len(of.live) > 0 && of.live[0] != of.removed
		}))
		if ok {
			p.move(in.live[0], in.told)
		}
		return ok
	}},
	{"more is replayed than the window allows", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			from, at, same := p.since(of)
			return same && of.told >= 0 && of.alone && p.world.entry(from) != nil && at.Revision-from.Revision > uint64(p.world.window)
		}))
		if !ok {
			return false
		}
		from, at, _ := p.since(in)
		p.state(in).Replaying = at.Revision - from.Revision
		p.drop(in.told)
		for revision := at.Revision; revision > from.Revision; revision-- {
			e := p.world.entry(replay.Cursor{Epoch: at.Epoch, Revision: revision})
			p.insert(in.state+1, step{kind: gets, log: in.log, frame: replayedFrame(*e)})
		}
		return true
	}},
	{"the cursor of an old epoch is matched", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			at, _ := p.script[of.state].place()
			from, err := replay.ParseCursor(of.since)
			return of.alone && err == nil && of.told >= 0 && from.Epoch != at.Epoch && p.world.entry(at) != nil && at.Revision > 1
		}))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		p.state(in).Replaying = 1
		p.script[in.told].frame = replayedFrame(*p.world.entry(at))
		return true
	}},
	{"a frame is replayed to somebody who sent no cursor", checker.Resumable, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			at, _ := p.script[of.state].place()
			return of.since == "" && of.asked >= 0 && of.fresh && p.world.entry(at) != nil && at.Revision > 1
		}))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		p.insert(in.state+1, step{kind: gets, log: in.log, frame: replayedFrame(*p.world.entry(at))})
		return true
	}},
	{"a snapshot is older than what was known when it was asked for", checker.OneWinner, nil, func(p *planter) bool {
		in, ok := p.part(func(of *part) bool { return len(of.live) > 0 && len(p.kept([]int{of.state})) > 0 })
		if ok {
			late := logKey{name: "late", id: in.log.id}
			p.script = append(p.script, step{kind: asks, log: late}, step{kind: gets, log: late, frame: p.bare(in)}, step{kind: leaves, log: late})
		}
		return ok
	}},
}

// bare is the snapshot of a part without a replay.
func (p *planter) bare(of *part) *wire.State {
	snapshot := *p.state(of)
	snapshot.Replaying = 0
	return &snapshot
}
