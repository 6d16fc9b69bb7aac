package checker_test

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
)

// inPatched injects a fault into a random segment with patches that fits.
func inPatched(client bool, fits func(*injector, *segment) bool, change func(*injector, *segment)) func(*injector) bool {
	return func(p *injector) bool {
		in, ok := pick(p, p.segments, func(of *segment) bool { return of.patches && of.log.client == client && fits(p, of) })
		if ok {
			change(p, in)
		}
		return ok
	}
}

// patched returns the frames of a segment that have patches and are in the history.
func (p *injector) patched(of *segment) (frames []int) {
	for _, i := range p.inHistory(p.transactions(slices.Concat(of.replayed, of.live))) {
		if p.transaction(i).Patch != nil {
			frames = append(frames, i)
		}
	}
	return frames
}

// inPatch injects a fault into a random patch that a subscriber, or a client, applies.
func inPatch(client bool, change func(patch json.RawMessage) json.RawMessage) func(*injector) bool {
	return inPatched(client, func(p *injector, of *segment) bool {
		return (client || p.state(of).Resumed || len(of.replayed) == 0) && len(p.patched(of)) > 0
	}, func(p *injector, in *segment) {
		i, _ := pick(p, p.patched(in), func(int) bool { return true })
		f := p.transaction(i)
		f.Patch = change(f.Patch)
	})
}

func replaced(old, by string) func(json.RawMessage) json.RawMessage {
	return func(patch json.RawMessage) json.RawMessage {
		return bytes.Replace(patch, []byte(old), []byte(by), 1)
	}
}

func twice(patch json.RawMessage) json.RawMessage {
	operations := patch[1 : len(patch)-1]
	return slices.Concat([]byte("["), operations, []byte(","), operations, []byte("]"))
}

func leftOut(json.RawMessage) json.RawMessage { return nil }

// skips returns the states of a segment that skip two or more entries.
func (p *injector) skips(of *segment) (skips []*wire.State) {
	for _, i := range of.skips {
		if f := p.script[i].frame.(*wire.State); f.Skipped > 1 {
			skips = append(skips, f)
		}
	}
	return skips
}

func hasSkip(p *injector, of *segment) bool { return len(p.skips(of)) > 0 }

// inSkip injects a fault into a random state that skips entries.
func inSkip(client bool, change func(*wire.State)) func(*injector) bool {
	return inPatched(client, hasSkip, func(p *injector, in *segment) {
		f, _ := pick(p, p.skips(in), func(*wire.State) bool { return true })
		change(f)
	})
}

// leaveOut makes a state one that is left out.
func (p *injector) leaveOut(in *segment) { f := p.state(in); f.CurrentState, f.Resumed = nil, true }

var patchFaults = []fault{
	{"a patch has another value", checker.InSync, nil, inPatch(false, replaced(`"value":`, `"value":1`))},
	{"a patch has another path", checker.InSync, nil, inPatch(false, replaced(`"path":"/items`, `"path":"/other`))},
	{"a patch is left out", checker.InSync, nil, inPatch(false, leftOut)},
	{"a patch is applied twice", checker.InSync, nil, inPatch(false, twice)},
	{"a client's patch has another value", checker.InSync, nil, inPatch(true, replaced(`"value":`, `"value":1`))},
	{"a client's state is the one before", checker.InSync, nil, inPatched(true, func(p *injector, of *segment) bool { return len(p.patched(of)) > 0 }, func(p *injector, in *segment) {
		f := p.transaction(p.patched(in)[0])
		f.CurrentState = bytes.Replace(f.CurrentState, []byte(`"items":`), []byte(`"items": `), 1)
	})},
	{"a stateHash of a frame is another", checker.InSync, nil, inPatched(false, func(p *injector, of *segment) bool {
		return slices.ContainsFunc(p.patched(of), func(i int) bool { return p.transaction(i).StateHash != "" })
	}, func(p *injector, in *segment) {
		i, _ := pick(p, p.patched(in), func(i int) bool { return p.transaction(i).StateHash != "" })
		p.transaction(i).StateHash = hashOf(nil).String()
	})},
	{"a stateHash of a state is another", checker.InSync, nil, inPatched(false, func(p *injector, of *segment) bool {
		return p.state(of).StateHash != "" && len(p.inHistory([]int{of.state})) > 0
	}, func(p *injector, in *segment) {
		p.state(in).StateHash = hashOf(nil).String()
	})},
	{"a stateHash is not sent", checker.InSync, []checker.Promise{checker.Ordered, checker.Gapless, checker.Complete}, inPatched(false, func(p *injector, of *segment) bool { return p.isolated(of) && p.state(of).StateHash != "" }, func(p *injector, in *segment) {
		p.state(in).StateHash = ""
		for _, i := range p.transactions(slices.Concat(in.replayed, in.live)) {
			p.transaction(i).StateHash = ""
		}
	})},
	{"a patch that was not asked for", checker.InSync, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(p.transactions(of.live)) > 0 }), func(p *injector, in *segment) {
		p.transaction(p.transactions(in.live)[0]).Patch = json.RawMessage("[]")
	})},
	{"a state is left out though the cursor is not found", checker.Resumable, nil, inPatched(false, func(p *injector, of *segment) bool {
		return p.isolated(of) && of.notFound >= 0 && of.since != "" && p.state(of).StateHash != ""
	}, (*injector).leaveOut)},
	{"a state is left out though no cursor was sent", checker.Resumable, nil, inPatched(false, func(p *injector, of *segment) bool {
		return p.isolated(of) && of.since == "" && p.state(of).StateHash != ""
	}, (*injector).leaveOut)},
	{"a state is called resumed though the cursor is not found", checker.Resumable, nil, inPatched(false, func(p *injector, of *segment) bool {
		return p.isolated(of) && of.notFound >= 0 && of.since != "" && p.state(of).StateHash != ""
	}, func(p *injector, in *segment) {
		p.state(in).Resumed = true
	})},
	{"a state is left out though the subscriber asked for it", checker.Resumable, []checker.Promise{checker.InSync}, inPatched(false, func(p *injector, of *segment) bool {
		return of.alone && of.asked >= 0 && len(of.replayed) > 0 && p.script[of.asked].asks.IncludeState && p.script[of.asked].asks.Patches
	}, (*injector).leaveOut)},
	{"a state is left out for a subscriber without patches", checker.Resumable, []checker.Promise{checker.Ordered, checker.InSync}, inSegment(replays(1), (*injector).leaveOut)},
	{"a skip that is one too many", checker.Once, nil, inSkip(false, func(f *wire.State) { f.Skipped++ })},
	{"a skip that is one too few", checker.Gapless, nil, inSkip(false, func(f *wire.State) { f.Skipped-- })},
	{"a skip of a client that is one too many", checker.Gapless, nil, inSkip(true, func(f *wire.State) { f.Skipped++ })},
	{"a skip that leads to an older state", checker.Ordered, []checker.Promise{checker.Gapless, checker.CommittedBeforeSeen, checker.OneWinner, checker.Complete}, inSkip(false, func(f *wire.State) { f.Revision, f.Cursor = 1, f.Cursor[:5]+"1" })},
	{"a skip that has an older state", checker.CommittedBeforeSeen, []checker.Promise{checker.InSync}, inPatched(false, func(p *injector, of *segment) bool {
		return len(p.inHistory(of.skips)) > 0
	}, func(p *injector, in *segment) {
		f := p.script[p.inHistory(in.skips)[0]].frame.(*wire.State)
		f.CurrentState = []byte(`{"pad":"","items":[]}`)
		if f.StateHash != "" {
			f.StateHash = hashOf(f.CurrentState).String()
		}
	})},
	{"a skip that was not asked for", checker.Once, nil, inPatched(false, func(p *injector, of *segment) bool { return hasSkip(p, of) && p.isolated(of) }, func(p *injector, in *segment) {
		p.script[in.asked].asks.Conflate = false
	})},
	{"a skip of a client that was not asked for", checker.Once, nil, func(p *injector) bool {
		in, ok := pick(p, p.segments, func(of *segment) bool { return of.log.client && hasSkip(p, of) })
		for i := range p.script {
			if ok && p.script[i].log == in.log {
				p.script[i].asks.Conflate = false
			}
		}
		return ok
	}},
}
