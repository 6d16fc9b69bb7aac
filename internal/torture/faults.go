package torture

import (
	"fmt"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// injectOnSchedule injects each fault at its time, and returns when all are over.
func (d *driver) injectOnSchedule(events []event) {
	began := time.Now()
	var injecting sync.WaitGroup
	for _, e := range events {
		pause(d.faulty, time.Until(began.Add(e.at)))
		if !d.isFaulty() {
			break
		}
		injecting.Go(func() { d.inject(e) })
	}
	pause(d.faulty, time.Until(began.Add(d.options.Duration)))
	injecting.Wait()
}

// injectInTurn injects each fault some time after the one before is over.
func (d *driver) injectInTurn(events []event) {
	for _, e := range events {
		pause(d.faulty, e.at)
		if !d.isFaulty() {
			return
		}
		d.inject(e)
	}
}

// inject injects a fault, and returns when it is over. An error ends the run.
func (d *driver) inject(e event) {
	d.mu.Lock()
	d.faults[e.fault]++
	d.mu.Unlock()
	d.options.Log("%v", e)
	// A server may need longer to start than the schedule allows for.
	for _, target := range e.targets() {
		lock := d.lockOf(target)
		lock.Lock()
		defer lock.Unlock()
	}
	if err := d.apply(e); err != nil {
		d.fail(fmt.Errorf("%v: %w", e, err))
		d.stopFaults()
	}
}

// lockOf returns the lock that keeps a target from two such faults at a time.
func (d *driver) lockOf(target string) *sync.Mutex {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[target] == nil {
		d.locks[target] = new(sync.Mutex)
	}
	return d.locks[target]
}

// recovery is how long after an outage servers may still use broken connections to
// their store: a silent connection is given up after a while only.
func (f Fault) recovery() time.Duration {
	switch f {
	case FaultStoreCut, FaultStoreHalf, FaultStoreSlow:
		return 1500 * time.Millisecond
	}
	return 5 * time.Second
}

// outage records that the store may be unreachable from now on, until the recovery
// time after the fault.
func (d *driver) outage(f Fault) (over func()) {
	restored := d.recorder.StoreUnreachable()
	return func() {
		d.recovering.Go(func() {
			d.sleep(f.recovery())
			restored()
		})
	}
}

// apply makes a fault happen, and returns when it is over.
func (d *driver) apply(e event) error {
	if e.fault.isOutage(d.options.Store) {
		defer d.outage(e.fault)()
	}
	server := d.processes[e.server]
	switch e.fault {
	case FaultKill:
		lost := d.backend.losing(d)
		if err := server.kill(); err != nil {
			return err
		}
		lost()
		d.sleep(e.lasts)
		if e.up {
			if err := server.startAndKill(e.delay); err != nil {
				return err
			}
		}
		return server.start()
	case FaultEnd:
		lost := d.backend.losing(d)
		if err := server.end(); err != nil {
			return err
		}
		lost()
		d.sleep(e.lasts)
		return server.start()
	case FaultPause:
		if err := server.pause(); err != nil {
			return err
		}
		d.sleep(e.lasts)
		return server.resume()
	case FaultMove, FaultSlow, FaultCut, FaultHalf, FaultHole:
		var proxies []*proxy
		for _, c := range e.clients {
			proxies = append(proxies, d.proxies[c])
		}
		d.disturbNetwork(e, proxies)
		return nil
	case FaultStoreSlow, FaultStoreCut, FaultStoreHalf, FaultStoreHole:
		d.disturbNetwork(e, []*proxy{d.backend.proxy(e.server)})
		return nil
	}
	return d.backend.inject(d, e)
}

// disturbNetwork injects a fault of the network.
func (d *driver) disturbNetwork(e event, proxies []*proxy) {
	each := func(do func(*proxy)) {
		for _, p := range proxies {
			do(p)
		}
	}
	switch e.fault {
	case FaultMove:
		each(func(p *proxy) {
			d.move(p, e.towards)
			p.cut()
		})
	case FaultSlow, FaultStoreSlow:
		each(func(p *proxy) { p.setDelay(e.delay) })
		d.sleep(e.lasts)
		each(func(p *proxy) { p.setDelay(0) })
	case FaultCut, FaultStoreCut:
		each(func(p *proxy) { p.cut() })
	case FaultHalf, FaultStoreHalf:
		each(func(p *proxy) { p.halfClose(e.up) })
	case FaultHole, FaultStoreHole:
		each((*proxy).block)
		d.sleep(e.lasts)
		if !e.heals {
			each(func(p *proxy) { p.cut() })
		}
		each((*proxy).unblock)
	}
}

// losing records that all epochs may be lost from now on. Call lost when the loss
// is over.
func (d *driver) losing() (lost func()) {
	through := d.recorder.Losing(d.ids...)
	return func() {
		// An epoch that began in the same millisecond may have a larger number.
		const aMillisecond = 1 << 20
		through(replay.NewEpoch(0) + aMillisecond)
	}
}
