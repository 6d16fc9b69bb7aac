package checker_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// fault is something that a broken service or client could do.
type fault struct {
	name string
	want checker.Promise
	// also are promises that may be broken as a consequence.
	also []checker.Promise
	// plant changes the script; it returns false where the script offers no
	// place for the fault.
	plant func(p *planter) bool
}

// planter is a script in which a fault is being planted.
type planter struct {
	script script
	parts  []*part
	rng    *rand.Rand
	world  *world
}

const seedsPerFault = 8

func TestEveryPlantedFaultIsFound(t *testing.T) {
	faults := slices.Concat(frameFaults, resumeFaults, userFaults, historyFaults, answerFaults)
	var worlds []*world
	for seed := range uint64(seedsPerFault) {
		w := newWorld(seed)
		w.run(900)
		worlds = append(worlds, w)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			planted := 0
			for seed, w := range worlds {
				s := w.script.clone()
				p := &planter{script: s, parts: s.parts(), rng: rand.New(rand.NewPCG(uint64(seed), 2)), world: w}
				if !f.plant(p) {
					continue
				}
				planted++
				v := p.script.play().Check(w.options())
				if len(v.Of(f.want)) == 0 {
					t.Errorf("seed %d: nothing breaks %q, got:\n%v", seed, f.want, v)
				}
				for _, other := range v {
					if other.Promise != f.want && !slices.Contains(f.also, other.Promise) {
						t.Errorf("seed %d: also found %q: %v", seed, other.Promise, other)
					}
				}
			}
			if planted < seedsPerFault/5 {
				t.Errorf("planted in %d of %d scripts only", planted, seedsPerFault)
			}
		})
	}
}

// pick returns a random element that fits.
func pick[E any](p *planter, from []E, fits func(E) bool) (e E, ok bool) {
	for _, i := range p.rng.Perm(len(from)) {
		if fits(from[i]) {
			return from[i], true
		}
	}
	return e, false
}

// onWire and atUser choose among the parts of one kind of log.
func onWire(fits func(*part) bool) func(*part) bool {
	return func(p *part) bool { return !p.log.user && fits(p) }
}

func atUser(fits func(*part) bool) func(*part) bool {
	return func(p *part) bool { return p.log.user && fits(p) }
}

func (p *planter) part(fits func(*part) bool) (*part, bool) { return pick(p, p.parts, fits) }

func (p *planter) drop(i int)           { p.script = slices.Delete(p.script, i, i+1) }
func (p *planter) insert(i int, s step) { p.script = slices.Insert(p.script, i, s) }
func (p *planter) repeat(i int)         { p.insert(i+1, p.script[i]) }

func (p *planter) swap(i, j int) {
	p.script[i].frame, p.script[j].frame = p.script[j].frame, p.script[i].frame
}

func (p *planter) dropAll(steps []int) {
	for i, n := range steps {
		p.drop(n - i)
	}
}

// move takes a step to an earlier place.
func (p *planter) move(from, to int) {
	st := p.script[from]
	p.drop(from)
	p.insert(to, st)
}

func (p *planter) transaction(i int) *wire.Transaction {
	f, _ := p.script[i].frame.(*wire.Transaction)
	return f
}

func (p *planter) state(of *part) *wire.State { return p.script[of.state].frame.(*wire.State) }

// liveTransaction chooses a live transaction of a part that fits.
func (p *planter) liveTransaction(fits func(*part) bool) (*wire.Transaction, bool) {
	in, ok := p.part(func(of *part) bool { return fits(of) && len(p.told(of)) > 0 })
	if !ok {
		return nil, false
	}
	i, _ := pick(p, p.told(in), func(int) bool { return true })
	return p.transaction(i), true
}

func (p *planter) transactions(of []int) (transactions []int) {
	for _, i := range of {
		if p.transaction(i) != nil {
			transactions = append(transactions, i)
		}
	}
	return transactions
}

func cursorText(epoch, revision uint64) string {
	return replay.Cursor{Epoch: epoch, Revision: revision}.String()
}

var frameFaults = []fault{
	{"a live frame is dropped", checker.Gapless, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.live) >= 2 }))
		if ok {
			p.drop(in.live[p.rng.IntN(len(in.live)-1)])
		}
		return ok
	}},
	{"a replayed frame is dropped", checker.Gapless, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.replayed) > 0 && len(of.live) > 0 }))
		if ok {
			p.drop(in.replayed[p.rng.IntN(len(in.replayed))])
		}
		return ok
	}},
	{"a live frame is repeated", checker.Once, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.live) > 0 && of.removed < 0 }))
		if ok {
			p.repeat(in.live[p.rng.IntN(len(in.live))])
		}
		return ok
	}},
	{"a live frame comes again later", checker.Once, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.live) > 2 && of.removed < 0 }))
		if ok {
			p.insert(in.live[len(in.live)-1]+1, p.script[in.live[0]])
		}
		return ok
	}},
	{"a replayed frame is repeated", checker.Once, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.replayed) > 0 }))
		if ok {
			p.repeat(in.replayed[p.rng.IntN(len(in.replayed))])
		}
		return ok
	}},
	{"a frame is replayed from before the cursor", checker.Once, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(p.transactions(of.replayed)) > 0 }))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		since, _ := replay.ParseCursor(in.since)
		entry := p.world.entry(since)
		if entry == nil || entry.Cursor.Epoch != at.Epoch || entry.Revision() == 1 {
			return false
		}
		p.insert(in.state+1, step{kind: gets, log: in.log, frame: replayedFrame(*entry)})
		return true
	}},
	{"two live frames are swapped", checker.Ordered, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(p.transactions(of.live)) >= 2 && of.removed < 0 }))
		if ok {
			i := p.rng.IntN(len(in.live) - 1)
			p.swap(in.live[i], in.live[i+1])
		}
		return ok
	}},
	{"two replayed frames are swapped", checker.Ordered, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.replayed) >= 2 }))
		if ok {
			i := p.rng.IntN(len(in.replayed) - 1)
			p.swap(in.replayed[i], in.replayed[i+1])
		}
		return ok
	}},
	{"a live frame of another epoch", checker.Ordered, []checker.Promise{checker.Gapless, checker.Complete}, func(p *planter) bool {
		f, ok := p.liveTransaction(onWire(func(of *part) bool { return of.last && of.removed < 0 }))
		if ok {
			f.TransactionID = cursorText(3, f.Revision)
		}
		return ok
	}},
	{"a revision that is not the cursor's", checker.Ordered, []checker.Promise{checker.Gapless, checker.Complete}, func(p *planter) bool {
		f, ok := p.liveTransaction(onWire(func(*part) bool { return true }))
		if ok {
			f.Revision++
		}
		return ok
	}},
	{"a live frame inside the replay", checker.NeverInterleaved, []checker.Promise{checker.OneWinner}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.replayed) > 0 && len(of.live) > 0 && of.live[0] != of.removed }))
		if ok {
			p.move(in.live[0], in.replayed[len(in.replayed)-1])
		}
		return ok
	}},
	{"a replayed frame before the state", checker.NeverInterleaved, []checker.Promise{checker.Gapless, checker.Complete}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return of.fresh && len(of.replayed) > 0 }))
		if ok {
			p.move(in.replayed[0], in.state)
		}
		return ok
	}},
	{"a live frame that the state has already", checker.NeverInterleaved, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(of.live) > 0 && of.told < 0 && len(of.replayed) == 0 }))
		if !ok {
			return false
		}
		at, _ := p.script[in.state].place()
		e := p.world.entry(at)
		if e == nil || e.Revision() == 1 {
			return false
		}
		p.insert(in.state+1, step{kind: gets, log: in.log, frame: liveFrame(*e, p.state(in).CurrentState)})
		return true
	}},
	{"a state that nobody asked for", checker.NeverInterleaved, []checker.Promise{checker.Resumable}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			return p.quiet(of) && len(of.live) > 0 && of.told < 0 && len(of.replayed) == 0 && of.removed != of.live[0]
		}))
		if ok {
			p.repeat(in.state)
		}
		return ok
	}},
	{"a frame after the removal", checker.NeverInterleaved, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return of.removed >= 0 && len(of.live) > 1 }))
		if ok {
			p.insert(in.removed+1, p.script[in.live[0]])
		}
		return ok
	}},
	{"the verdict in a live frame is altered", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		f, ok := p.liveTransaction(onWire(func(*part) bool { return true }))
		if ok {
			f.Accepted = !f.Accepted
		}
		return ok
	}},
	{"the state in a live frame is altered", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		f, ok := p.liveTransaction(func(*part) bool { return true })
		if ok {
			f.CurrentState = []byte(`"other"`)
		}
		return ok
	}},
	{"the function in a live frame is altered", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		f, ok := p.liveTransaction(onWire(func(*part) bool { return true }))
		if ok {
			f.FunctionID = "other"
		}
		return ok
	}},
	{"a transaction is told of as an update", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(p.told(of)) > 0 }))
		if ok {
			i := p.told(in)[0]
			f := p.transaction(i)
			p.script[i].frame = &wire.Lifecycle{ShareDataID: f.ShareDataID, Event: wire.EventUpdated, CurrentState: f.CurrentState, Cursor: f.TransactionID, Revision: f.Revision}
		}
		return ok
	}},
	{"the verdict in a replayed frame is altered", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(p.kept(p.transactions(of.replayed))) > 0 }))
		if ok {
			f := p.transaction(p.kept(p.transactions(in.replayed))[0])
			f.Accepted = !f.Accepted
		}
		return ok
	}},
	{"the state of a snapshot is altered", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return len(p.kept([]int{of.state})) > 0 }))
		if ok {
			p.state(in).CurrentState = []byte(`"other"`)
		}
		return ok
	}},
	{"the newest transaction of a snapshot is another", checker.CommittedBeforeSeen, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool {
			return p.world.observed
		}))
		if ok {
			at, _ := p.script[in.state].place()
			p.state(in).LastTransactionID = cursorText(at.Epoch, at.Revision+1)
		}
		return ok
	}},
	{"a transaction that was never committed", checker.CommittedBeforeSeen, []checker.Promise{checker.Complete}, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return p.lasting(of) && p.world.thing(of.log.id).exists }))
		if ok {
			e := p.world.thing(in.log.id).head()
			e.Cursor = e.Cursor.Next()
			p.script = append(p.script, step{kind: gets, log: in.log, frame: &wire.Transaction{
				ShareDataID: in.log.id, TransactionID: e.Cursor.String(), Accepted: true, CurrentState: []byte("1"), Revision: e.Revision(),
			}})
		}
		return ok
	}},
	{"a subscriber is left behind", checker.Complete, nil, func(p *planter) bool {
		in, ok := p.part(onWire(func(of *part) bool { return p.lasting(of) && p.quiet(of) && len(of.live) > 0 }))
		if ok {
			p.drop(in.live[len(in.live)-1])
		}
		return ok
	}},
	{"a subscribe is never answered", checker.Complete, nil, func(p *planter) bool {
		p.script = append(p.script, step{kind: asks, log: p.parts[0].log})
		return !p.parts[0].log.user
	}},
}
