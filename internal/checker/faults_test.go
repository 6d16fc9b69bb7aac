package checker_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// fault is something that a broken service or client may do.
type fault struct {
	name string
	want checker.Promise
	// also are promises that may be broken as a consequence.
	also []checker.Promise
	// inject changes the script; it returns false where the script has no place for
	// the fault.
	inject func(p *injector) bool
}

// injector injects a fault into a script.
type injector struct {
	script     script
	segments   []*segment
	rng        *rand.Rand
	simulation *simulation
}

const seedsPerFault = 6

func TestInjectedFaultsAreFound(t *testing.T) {
	faults := slices.Concat(frameFaults, patchFaults, subscribeFaults, clientFaults, historyFaults, resultFaults)
	var simulations []*simulation
	for seed := range uint64(seedsPerFault) {
		w := newSimulation(seed)
		w.run(900)
		simulations = append(simulations, w)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			injected := 0
			for seed, w := range simulations {
				s := w.script.clone()
				p := &injector{script: s, segments: s.segments(), rng: rand.New(rand.NewPCG(uint64(seed), 2)), simulation: w}
				if !f.inject(p) {
					continue
				}
				injected++
				v := p.script.record().Check(w.options())
				if len(v.Of(f.want)) == 0 {
					t.Errorf("seed %d: no violation of %q, got:\n%v", seed, f.want, v)
				}
				for _, other := range v {
					if other.Promise != f.want && !slices.Contains(f.also, other.Promise) {
						t.Errorf("seed %d: also found %q: %v", seed, other.Promise, other)
					}
				}
			}
			if injected < seedsPerFault/5 {
				t.Errorf("injected into %d of %d scripts only", injected, seedsPerFault)
			}
		})
	}
}

// pick returns a random element that fits.
func pick[E any](p *injector, from []E, fits func(E) bool) (e E, ok bool) {
	for _, i := range p.rng.Perm(len(from)) {
		if fits(from[i]) {
			return from[i], true
		}
	}
	return e, false
}

// filter says whether a fault can be injected into a segment.
type filter func(*injector, *segment) bool

// atSubscriber and atClient choose among the segments of one kind of log.
func atSubscriber(fits filter) filter {
	return func(p *injector, of *segment) bool { return !of.log.client && fits(p, of) }
}

func atClient(fits filter) filter {
	return func(p *injector, of *segment) bool { return of.log.client && fits(p, of) }
}

// inSegment injects a fault into a random segment that fits.
func inSegment(fits filter, change func(*injector, *segment)) func(*injector) bool {
	return func(p *injector) bool {
		in, ok := p.segment(fits)
		if ok {
			change(p, in)
		}
		return ok
	}
}

func (p *injector) segment(fits filter) (*segment, bool) {
	return pick(p, p.segments, func(of *segment) bool { return !of.patches && fits(p, of) })
}

func (p *injector) drop(i int)           { p.script = slices.Delete(p.script, i, i+1) }
func (p *injector) insert(i int, s step) { p.script = slices.Insert(p.script, i, s) }
func (p *injector) repeat(i int)         { p.insert(i+1, p.script[i]) }

// receive inserts a frame to the subscriber of a segment.
func (p *injector) receive(i int, in *segment, frame wire.ServerMessage) {
	p.insert(i, step{kind: receives, log: in.log, frame: frame})
}

func (p *injector) swap(i, j int) {
	p.script[i].frame, p.script[j].frame = p.script[j].frame, p.script[i].frame
}

func (p *injector) dropAll(steps []int) {
	for i, n := range steps {
		p.drop(n - i)
	}
}

// move moves a step to an earlier index.
func (p *injector) move(from, to int) {
	st := p.script[from]
	p.drop(from)
	p.insert(to, st)
}

func (p *injector) transaction(i int) *wire.Transaction {
	f, _ := p.script[i].frame.(*wire.Transaction)
	return f
}

func (p *injector) state(of *segment) *wire.State { return p.script[of.state].frame.(*wire.State) }

// surelyKept reports whether nothing was removed or trimmed before the state came.
func (p *injector) surelyKept(of *segment) bool {
	at, err := replay.ParseCursor(p.state(of).Cursor)
	return err == nil && p.simulation.retention == 0 && !slices.ContainsFunc(p.script[:of.state], func(st step) bool {
		return st.kind == removes && st.id == of.log.id && at.Epoch <= st.epoch
	})
}

// inTransaction injects a fault into a random live transaction that is in a
// recorded history.
func inTransaction(fits filter, change func(*wire.Transaction)) func(*injector) bool {
	return inSegment(
		func(p *injector, of *segment) bool { return fits(p, of) && len(p.recorded(of)) > 0 },
		func(p *injector, in *segment) {
			i, _ := pick(p, p.recorded(in), func(int) bool { return true })
			change(p.transaction(i))
		})
}

func (p *injector) transactions(of []int) (transactions []int) {
	for _, i := range of {
		if p.transaction(i) != nil {
			transactions = append(transactions, i)
		}
	}
	return transactions
}

// find returns a ShareData at its end.
func (w *simulation) find(id string) *simShareData {
	for _, t := range w.shareData {
		if t.id == id {
			return t
		}
	}
	return nil
}

// entry returns an entry of any epoch; nil for none.
func (w *simulation) entry(at replay.Cursor) *sharedata.Entry {
	if e, ok := w.archive[at]; ok {
		return &e
	}
	return nil
}

// isLive reports whether a segment is live at the end.
func (p *injector) isLive(of *segment) bool {
	for _, sub := range p.simulation.subscribers {
		if sub.log == of.log {
			return sub.live && of.last && !of.gone
		}
	}
	return false
}

// recorded returns the live transactions that are in a recorded history.
func (p *injector) recorded(of *segment) []int { return p.inHistory(p.transactions(of.live)) }

// isolated reports whether no other subscribe was sent while a segment began.
func (p *injector) isolated(of *segment) bool {
	if !of.fresh || of.asked < 0 {
		return false
	}
	for i := of.asked + 1; i < len(p.script) && (len(of.live) == 0 || i < of.live[0]); i++ {
		if p.script[i].kind == subscribes && p.script[i].log == of.log {
			return false
		}
	}
	return true
}

// inHistory returns the steps whose entries are in a recorded history.
func (p *injector) inHistory(of []int) (kept []int) {
	for _, i := range of {
		at, _ := p.script[i].place()
		t := p.simulation.find(p.script[i].log.id)
		if p.simulation.observed || t.exists && t.head().Cursor.Epoch == at.Epoch &&
			(p.simulation.retention == 0 || at.Revision+uint64(p.simulation.retention) > uint64(len(t.entries))) {
			kept = append(kept, i)
		}
	}
	return kept
}

func cursorText(epoch, revision uint64) string {
	return replay.Cursor{Epoch: epoch, Revision: revision}.String()
}

var frameFaults = []fault{
	{"a live frame is dropped", checker.Gapless, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.live) >= 2 }), func(p *injector, in *segment) {
		p.drop(in.live[p.rng.IntN(len(in.live)-1)])
	})},
	{"a replayed frame is dropped", checker.Gapless, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.replayed) > 0 && len(of.live) > 0 }), func(p *injector, in *segment) {
		p.drop(in.replayed[p.rng.IntN(len(in.replayed))])
	})},
	{"a live frame is repeated", checker.Once, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.live) > 0 && of.removed < 0 }), func(p *injector, in *segment) {
		p.repeat(in.live[p.rng.IntN(len(in.live))])
	})},
	{"a live frame comes again later", checker.Once, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.live) > 2 && of.removed < 0 }), func(p *injector, in *segment) {
		p.insert(in.live[len(in.live)-1]+1, p.script[in.live[0]])
	})},
	{"a replayed frame is repeated", checker.Once, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.replayed) > 0 }), func(p *injector, in *segment) {
		p.repeat(in.replayed[p.rng.IntN(len(in.replayed))])
	})},
	{"a frame is replayed from before the cursor", checker.Once, nil, func(p *injector) bool {
		in, ok := p.segment(atSubscriber(func(p *injector, of *segment) bool { return len(p.transactions(of.replayed)) > 0 }))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		since, _ := replay.ParseCursor(in.since)
		entry := p.simulation.entry(since)
		if entry == nil || entry.Cursor.Epoch != at.Epoch || entry.Revision() == 1 {
			return false
		}
		p.receive(in.state+1, in, replayedFrame(*entry))
		return true
	}},
	{"two live frames are swapped", checker.Ordered, []checker.Promise{checker.OneWinner}, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(p.transactions(of.live)) >= 2 && of.removed < 0 }), func(p *injector, in *segment) {
		i := p.rng.IntN(len(in.live) - 1)
		p.swap(in.live[i], in.live[i+1])
	})},
	{"two replayed frames are swapped", checker.Ordered, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(of.replayed) >= 2 }), func(p *injector, in *segment) {
		i := p.rng.IntN(len(in.replayed) - 1)
		p.swap(in.replayed[i], in.replayed[i+1])
	})},
	{"a live frame of another epoch", checker.Ordered, []checker.Promise{checker.Gapless, checker.Complete}, inTransaction(atSubscriber(func(p *injector, of *segment) bool { return of.last && of.removed < 0 }), func(f *wire.Transaction) {
		f.TransactionID = cursorText(3, f.Revision)
	})},
	{"a revision that is not the cursor's", checker.Ordered, []checker.Promise{checker.Gapless, checker.Complete}, inTransaction(atSubscriber(func(*injector, *segment) bool { return true }), func(f *wire.Transaction) {
		f.Revision++
	})},
	{"a live frame inside the replay", checker.NeverInterleaved, []checker.Promise{checker.OneWinner}, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return len(of.replayed) > 0 && len(of.live) > 0 && of.live[0] != of.removed
	}), func(p *injector, in *segment) {
		p.move(in.live[0], in.replayed[len(in.replayed)-1])
	})},
	{"a replayed frame before the state", checker.NeverInterleaved, []checker.Promise{checker.Gapless, checker.Complete}, inSegment(atSubscriber(func(p *injector, of *segment) bool { return of.fresh && len(of.replayed) > 0 }), func(p *injector, in *segment) {
		p.move(in.replayed[0], in.state)
	})},
	{"a live frame that the state has already", checker.NeverInterleaved, nil, func(p *injector) bool {
		in, ok := p.segment(atSubscriber(func(p *injector, of *segment) bool {
			return len(of.live) > 0 && of.notFound < 0 && len(of.replayed) == 0
		}))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		e := p.simulation.entry(at)
		if e == nil || e.Revision() == 1 {
			return false
		}
		p.receive(in.state+1, in, liveFrame(*e, p.state(in).CurrentState))
		return true
	}},
	{"an unsolicited state", checker.NeverInterleaved, []checker.Promise{checker.Resumable}, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return p.isolated(of) && len(of.live) > 0 && of.notFound < 0 && len(of.replayed) == 0 && of.removed != of.live[0]
	}), func(p *injector, in *segment) {
		p.repeat(in.state)
	})},
	{"a frame after the removal", checker.NeverInterleaved, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return of.removed >= 0 && len(of.live) > 1 }), func(p *injector, in *segment) {
		p.insert(in.removed+1, p.script[in.live[0]])
	})},
	{"the verdict in a live frame is altered", checker.CommittedBeforeSeen, nil, inTransaction(atSubscriber(func(*injector, *segment) bool { return true }), func(f *wire.Transaction) {
		f.Accepted = !f.Accepted
	})},
	{"the state in a live frame is altered", checker.CommittedBeforeSeen, nil, inTransaction(func(*injector, *segment) bool { return true }, func(f *wire.Transaction) {
		f.CurrentState = []byte(`"other"`)
	})},
	{"the function in a live frame is altered", checker.CommittedBeforeSeen, nil, inTransaction(atSubscriber(func(*injector, *segment) bool { return true }), func(f *wire.Transaction) {
		f.FunctionID = "other"
	})},
	{"a transaction is sent as an update", checker.CommittedBeforeSeen, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(p.recorded(of)) > 0 }), func(p *injector, in *segment) {
		i := p.recorded(in)[0]
		f := p.transaction(i)
		p.script[i].frame = &wire.Lifecycle{ShareDataID: f.ShareDataID, Event: wire.EventUpdated, CurrentState: f.CurrentState, Cursor: f.TransactionID, Revision: f.Revision}
	})},
	{"the verdict in a replayed frame is altered", checker.CommittedBeforeSeen, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(p.inHistory(p.transactions(of.replayed))) > 0 }), func(p *injector, in *segment) {
		f := p.transaction(p.inHistory(p.transactions(in.replayed))[0])
		f.Accepted = !f.Accepted
	})},
	{"the state of a snapshot is altered", checker.CommittedBeforeSeen, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return len(p.inHistory([]int{of.state})) > 0 }), func(p *injector, in *segment) {
		p.state(in).CurrentState = []byte(`"other"`)
	})},
	{"the newest transaction of a snapshot is another", checker.CommittedBeforeSeen, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return p.simulation.observed
	}), func(p *injector, in *segment) {
		at, _ := p.script[in.state].place()
		p.state(in).LastTransactionID = cursorText(at.Epoch, at.Revision+1)
	})},
	{"a transaction that was never committed", checker.CommittedBeforeSeen, []checker.Promise{checker.Complete}, inSegment(atSubscriber(func(p *injector, of *segment) bool {
		return p.isLive(of) && p.simulation.find(of.log.id).exists
	}), func(p *injector, in *segment) {
		e := p.simulation.find(in.log.id).head()
		e.Cursor = e.Cursor.Next()
		p.script = append(p.script, step{kind: receives, log: in.log, frame: &wire.Transaction{
			ShareDataID: in.log.id, TransactionID: e.Cursor.String(), Accepted: true, CurrentState: []byte("1"), Revision: e.Revision(),
		}})
	})},
	{"a subscriber is left behind", checker.Complete, nil, inSegment(atSubscriber(func(p *injector, of *segment) bool { return p.isLive(of) && p.isolated(of) && len(of.live) > 0 }), func(p *injector, in *segment) {
		p.drop(in.live[len(in.live)-1])
	})},
	{"a subscribe is never answered", checker.Complete, nil, func(p *injector) bool {
		p.script = append(p.script, step{kind: subscribes, log: p.segments[0].log})
		return !p.segments[0].log.client
	}},
}
