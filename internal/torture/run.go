package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/sharedata"
)

// driver is one run: servers, clients, and the faults between them.
type driver struct {
	options  Options
	recorder *checker.Recorder
	ids      []string

	// ctx ends with the run, work when the clients have done enough, and faulty
	// when the last fault is over.
	ctx        context.Context
	work       context.Context
	stopWork   context.CancelFunc
	faulty     context.Context
	stopFaults context.CancelFunc

	processes     []*process
	backend       backend
	proxies       []*proxy // one for each client, between it and the servers
	goClients     []*goClient
	rawClients    []*rawClient
	streamClients []*streamClient
	admin         *administrator

	// histories are those that were read at the end.
	histories map[string][]sharedata.Entry

	httpClient *http.Client // of the raw clients and the stream clients
	operations atomic.Int64
	moves      atomic.Int64
	// streamFrames are the frames that came as events, posts the verdicts of requests.
	streamFrames, posts atomic.Int64

	recovering sync.WaitGroup // outages whose recovery time is not over

	mu       sync.Mutex
	failures []error
	// violations are those that the recorder cannot see.
	violations checker.Violations
	faults     map[Fault]int
	locks      map[string]*sync.Mutex // by target
}

// fail notes a failure that is no violation of a promise: the run proves nothing.
func (d *driver) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failures) < 20 {
		d.failures = append(d.failures, err)
	}
	d.options.Log("failure: %v", err)
}

// violate notes a violation that the recorder cannot see.
func (d *driver) violate(v checker.Violation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.violations) < checker.MaxPerPromise {
		d.violations = append(d.violations, v)
	}
}

// isWorking reports whether clients go on working.
func (d *driver) isWorking() bool { return d.work.Err() == nil }

// isFaulty reports whether more faults may come.
func (d *driver) isFaulty() bool { return d.faulty.Err() == nil }

// reserveOperation reports whether the recording has room for another operation,
// and reserves it.
func (d *driver) reserveOperation() bool { return d.operations.Add(1) <= d.options.maxOperations() }

// sleep pauses, unless the run ends.
func (d *driver) sleep(duration time.Duration) { pause(d.ctx, duration) }

// think pauses between two actions of a client.
func (d *driver) think(rng *rand.Rand) {
	pause(d.work, time.Duration(rng.Int64N(2*int64(d.options.Think))))
}

// pause waits until the time is over or the context ends.
func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// move makes new connections of a client go to another server.
func (d *driver) move(p *proxy, server int) {
	d.moves.Add(1)
	p.setTarget(d.processes[server].address)
}

// Run starts a service, injects faults as the options say, and reports what clients
// saw. The error says why the run proves nothing.
func Run(ctx context.Context, options Options) (*Report, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &driver{
		options: o, recorder: checker.NewRecorder(), ids: ids(o.ShareData), ctx: ctx,
		faults: make(map[Fault]int), locks: make(map[string]*sync.Mutex), histories: make(map[string][]sharedata.Entry),
		httpClient: &http.Client{Transport: &http.Transport{}},
	}
	d.faulty, d.stopFaults = context.WithCancel(ctx)
	defer d.stopFaults()
	d.work, d.stopWork = context.WithCancel(d.faulty)
	err = d.start()
	var report *Report
	if err == nil {
		began := time.Now()
		d.workUnderFaults()
		report = d.quiesce()
		report.Took = time.Since(began)
	}
	d.httpClient.CloseIdleConnections()
	return report, errors.Join(append([]error{err, d.stop()}, d.failures...)...)
}

// start starts the servers and the clients.
func (d *driver) start() error {
	var err error
	if d.backend, err = openBackend(d); err != nil {
		return err
	}
	for i := range d.options.Processes {
		p := newProcess(fmt.Sprint("server-", i), d.options.Server, d.options.Dir,
			"-store", d.backend.flag(i), "-window", fmt.Sprint(d.options.Window), "-bug", d.options.Bug,
			"-retention", fmt.Sprint(cmp.Or(d.options.Retention, -1)))
		d.processes = append(d.processes, p)
		if err := p.start(); err != nil {
			return err
		}
	}
	d.admin = newAdministrator(d)
	if err := d.admin.createAll(d.ctx); err != nil {
		return err
	}
	for i := range d.options.Clients {
		rng := stream(d.options.Seed, fmt.Sprint("client ", i))
		p, err := newProxy(d.processes[rng.IntN(len(d.processes))].address)
		if err != nil {
			return err
		}
		d.proxies = append(d.proxies, p)
		p.setReadBuffer(8 << 10) // so that a slow network slows the servers down
		switch d.options.kindOfClient(i) {
		case streamKind:
			d.streamClients = append(d.streamClients, d.newStreamClient(i, p, rng))
			continue
		case rawKind:
			d.rawClients = append(d.rawClients, d.newRawClient(i, p, rng))
			continue
		}
		c, err := d.newGoClient(i, p, rng)
		if c != nil {
			d.goClients = append(d.goClients, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// workUnderFaults lets the clients work while faults are injected. It returns when
// the faults are over and no client proposes any more.
func (d *driver) workUnderFaults() {
	events := schedule(d.options)
	for _, e := range events {
		d.options.Log("scheduled: %v", e)
	}
	var working sync.WaitGroup
	for i, c := range d.goClients {
		working.Go(func() { c.work(stream(d.options.Seed, fmt.Sprint("go client ", i))) })
	}
	for i, r := range d.rawClients {
		working.Go(func() { r.work(stream(d.options.Seed, fmt.Sprint("raw client ", i))) })
	}
	for i, c := range d.streamClients {
		working.Go(func() { c.work(stream(d.options.Seed, fmt.Sprint("stream client ", i))) })
	}
	working.Go(func() { d.admin.work(stream(d.options.Seed, "administrator")) })
	working.Go(d.watchProcesses)
	if d.options.Kills > 0 {
		d.injectInTurn(events)
	} else {
		// Faults outlast the work: subscribers must learn what a fault has hidden
		// even if nothing else happens.
		timer := time.AfterFunc(d.options.Duration*9/10, d.stopWork)
		defer timer.Stop()
		d.injectOnSchedule(events)
	}
	d.stopFaults()
	working.Wait()
}

// watchProcesses ends the run if a server ends by itself.
func (d *driver) watchProcesses() {
	for d.isFaulty() {
		for _, p := range d.processes {
			if err := p.unexpectedEnd(); err != nil {
				d.fail(err)
				d.stopFaults()
				return
			}
		}
		pause(d.faulty, 100*time.Millisecond)
	}
}

// stop stops everything that start started.
func (d *driver) stop() error {
	for _, c := range d.goClients {
		c.stop()
	}
	d.recovering.Wait()
	var errs []error
	for _, p := range d.processes {
		errs = append(errs, p.kill())
		if text := p.forbiddenLog(); text != "" {
			errs = append(errs, errors.New(text))
		}
	}
	for _, p := range d.proxies {
		p.close()
	}
	if d.admin != nil {
		d.admin.http.CloseIdleConnections()
	}
	if d.backend != nil {
		errs = append(errs, d.backend.close())
	}
	return errors.Join(errs...)
}
