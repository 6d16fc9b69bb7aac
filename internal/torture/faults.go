package torture

import (
	"fmt"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// inflict makes the events happen at their times, and returns when all are
// over.
func (w *world) inflict(events []event) {
	began := time.Now()
	var happening sync.WaitGroup
	for _, e := range events {
		pause(w.raging, time.Until(began.Add(e.at)))
		if !w.rages() {
			break
		}
		happening.Go(func() { w.happen(e) })
	}
	pause(w.raging, time.Until(began.Add(w.options.Duration)))
	happening.Wait()
}

// inflictInTurn makes each event happen some time after the one before.
func (w *world) inflictInTurn(events []event) {
	for _, e := range events {
		pause(w.raging, e.at)
		if !w.rages() {
			return
		}
		w.happen(e)
	}
}

func (w *world) happen(e event) {
	w.mu.Lock()
	w.faults[e.fault]++
	w.mu.Unlock()
	w.options.Log("%v", e)
	// A server may need longer to start than the schedule thought.
	for _, victim := range e.victims() {
		turn := w.turn(victim)
		turn.Lock()
		defer turn.Unlock()
	}
	if err := w.cause(e); err != nil {
		w.fail(fmt.Errorf("%v: %w", e, err))
		w.calm()
	}
}

// turn is what lets a victim suffer from one such fault at a time.
func (w *world) turn(victim string) *sync.Mutex {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.turns[victim] == nil {
		w.turns[victim] = new(sync.Mutex)
	}
	return w.turns[victim]
}

// recovery is how long after an outage servers may have connections to their
// store that they do not know to be broken: a store that says nothing is given up
// after a while only.
func (f Fault) recovery() time.Duration {
	switch f {
	case FaultStoreCut, FaultStoreHalf, FaultStoreSlow:
		return 1500 * time.Millisecond
	}
	return 5 * time.Second
}

// outage records that the store may be out of reach until some time after the
// fault.
func (w *world) outage(f Fault) (over func()) {
	back := w.recorder.StoreUnreachable()
	return func() {
		w.recovering.Go(func() {
			w.sleep(f.recovery())
			back()
		})
	}
}

// cause makes a fault happen, and returns when it is over.
func (w *world) cause(e event) error {
	if e.fault.isOutage(w.options.Store) {
		defer w.outage(e.fault)()
	}
	server := w.processes[e.server]
	switch e.fault {
	case FaultKill:
		lost := w.medium.losing(w)
		if err := server.kill(); err != nil {
			return err
		}
		lost()
		w.sleep(e.lasts)
		if e.up {
			if err := server.stillborn(e.delay); err != nil {
				return err
			}
		}
		return server.start()
	case FaultEnd:
		lost := w.medium.losing(w)
		if err := server.end(); err != nil {
			return err
		}
		lost()
		w.sleep(e.lasts)
		return server.start()
	case FaultPause:
		if err := server.pause(); err != nil {
			return err
		}
		w.sleep(e.lasts)
		return server.resume()
	case FaultMove, FaultSlow, FaultCut, FaultHalf, FaultHole:
		var fronts []*proxy
		for _, c := range e.clients {
			fronts = append(fronts, w.fronts[c])
		}
		w.disturb(e, fronts)
		return nil
	case FaultStoreSlow, FaultStoreCut, FaultStoreHalf, FaultStoreHole:
		w.disturb(e, []*proxy{w.medium.line(e.server)})
		return nil
	}
	return w.medium.cause(w, e)
}

// disturb makes some part of the network a bad one.
func (w *world) disturb(e event, proxies []*proxy) {
	each := func(do func(*proxy)) {
		for _, p := range proxies {
			do(p)
		}
	}
	switch e.fault {
	case FaultMove:
		each(func(p *proxy) {
			w.move(p, e.towards)
			p.cut()
		})
	case FaultSlow, FaultStoreSlow:
		each(func(p *proxy) { p.slow(e.delay) })
		w.sleep(e.lasts)
		each(func(p *proxy) { p.slow(0) })
	case FaultCut, FaultStoreCut:
		each(func(p *proxy) { p.cut() })
	case FaultHalf, FaultStoreHalf:
		each(func(p *proxy) { p.halfClose(e.up) })
	case FaultHole, FaultStoreHole:
		each((*proxy).hold)
		w.sleep(e.lasts)
		if !e.heals {
			each(func(p *proxy) { p.cut() })
		}
		each((*proxy).release)
	}
}

// losing records that all epochs there are may be lost. What it returns is
// called when that is over.
func (w *world) losing() (lost func()) {
	over := w.recorder.Losing(w.ids...)
	return func() {
		// An epoch that began in the same millisecond may have a larger number.
		const aMillisecond = 1 << 20
		over(replay.NewEpoch(0) + aMillisecond)
	}
}
