package torture

import (
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

// world is everything of one run.
type world struct {
	options  Options
	recorder *checker.Recorder
	ids      []string

	// ctx ends when the run is given up, working when clients have done enough,
	// raging when faults have.
	ctx         context.Context
	working     context.Context
	stopWorking context.CancelFunc
	raging      context.Context
	calm        context.CancelFunc

	processes []*process
	medium    medium
	// fronts are in front of the servers, one for each client.
	fronts []*proxy
	users  []*user
	peers  []*peer
	admin  *administrator

	// histories are those that were read in the end.
	histories map[string][]sharedata.Entry

	dialer *http.Client // for raw connections
	asked  atomic.Int64 // how much was asked for
	moves  atomic.Int64

	recovering sync.WaitGroup // outages that are not quite over

	mu       sync.Mutex
	failures []error
	faults   map[Fault]int
	turns    map[string]*sync.Mutex // by victim
}

// fail notes that something went wrong that is no violation of a promise: the
// run cannot be trusted.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) < 20 {
		w.failures = append(w.failures, err)
	}
	w.options.Log("failure: %v", err)
}

// works reports whether clients go on working, and rages whether faults go on.
func (w *world) works() bool { return w.working.Err() == nil }
func (w *world) rages() bool { return w.raging.Err() == nil }

// mayAsk counts something that is asked for, and reports whether the recording
// has room for it.
func (w *world) mayAsk() bool { return w.asked.Add(1) <= w.options.maxOperations() }

// sleep waits, unless the run is given up.
func (w *world) sleep(d time.Duration) { pause(w.ctx, d) }

// think is the pause of a client between two actions.
func (w *world) think(rng *rand.Rand) {
	pause(w.working, time.Duration(rng.Int64N(2*int64(w.options.Think))))
}

// pause waits until the time is over or the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// move makes new connections of a client go to another server.
func (w *world) move(front *proxy, server int) {
	w.moves.Add(1)
	front.point(w.processes[server].address)
}

// Run tortures a service as the options say, and returns what came of it. The
// error says what kept the run from being one that can be judged.
func Run(ctx context.Context, options Options) (*Report, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &world{
		options: o, recorder: checker.NewRecorder(), ids: ids(o.ShareData), ctx: ctx,
		faults: make(map[Fault]int), turns: make(map[string]*sync.Mutex), histories: make(map[string][]sharedata.Entry),
		dialer: &http.Client{Transport: &http.Transport{}},
	}
	w.raging, w.calm = context.WithCancel(ctx)
	defer w.calm()
	w.working, w.stopWorking = context.WithCancel(w.raging)
	err = w.begin()
	var report *Report
	if err == nil {
		began := time.Now()
		w.rage()
		report = w.settle()
		report.Took = time.Since(began)
	}
	w.dialer.CloseIdleConnections()
	return report, errors.Join(append([]error{err, w.end()}, w.failures...)...)
}

// begin starts the servers and the clients.
func (w *world) begin() error {
	var err error
	if w.medium, err = openMedium(w); err != nil {
		return err
	}
	for i := range w.options.Processes {
		args := []string{
			"-store", w.medium.flag(i), "-window", fmt.Sprint(w.options.Window), "-plant", w.options.Plant,
		}
		p := newProcess(fmt.Sprint("server-", i), w.options.Server, w.options.Dir, args...)
		w.processes = append(w.processes, p)
		if err := p.start(); err != nil {
			return err
		}
	}
	w.admin = newAdministrator(w)
	if err := w.admin.createAll(w.ctx); err != nil {
		return err
	}
	for i := range w.options.Clients {
		rng := stream(w.options.Seed, fmt.Sprint("client ", i))
		front, err := newProxy(w.processes[rng.IntN(len(w.processes))].address)
		if err != nil {
			return err
		}
		w.fronts = append(w.fronts, front)
		if i%2 > 0 {
			w.peers = append(w.peers, w.newPeer(i, front, rng))
			continue
		}
		u, err := w.newUser(i, front, rng)
		if u != nil {
			w.users = append(w.users, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rage lets everybody work while the faults come, and returns when the faults
// are over and nobody asks for anything any more.
func (w *world) rage() {
	events := plan(w.options)
	for _, e := range events {
		w.options.Log("planned: %v", e)
	}
	var working sync.WaitGroup
	for i, u := range w.users {
		working.Go(func() { u.live(stream(w.options.Seed, fmt.Sprint("user ", i))) })
	}
	for i, p := range w.peers {
		working.Go(func() { p.live(stream(w.options.Seed, fmt.Sprint("peer ", i))) })
	}
	working.Go(func() { w.admin.live(stream(w.options.Seed, "administrator")) })
	working.Go(func() { w.watchProcesses() })
	// Faults outlast the work: what a fault has hidden must come to light though
	// nothing else happens.
	enough := time.AfterFunc(w.options.Duration*9/10, w.stopWorking)
	defer enough.Stop()
	if w.options.Kills > 0 {
		enough.Stop()
		w.inflictInTurn(events)
	} else {
		w.inflict(events)
	}
	w.calm()
	working.Wait()
}

// watchProcesses looks for servers that end by themselves.
func (w *world) watchProcesses() {
	for w.rages() {
		for _, p := range w.processes {
			if err := p.died(); err != nil {
				w.fail(err)
				w.calm()
				return
			}
		}
		pause(w.raging, 100*time.Millisecond)
	}
}

// end stops everything that was started.
func (w *world) end() error {
	for _, u := range w.users {
		u.end()
	}
	w.recovering.Wait()
	var errs []error
	for _, p := range w.processes {
		errs = append(errs, p.kill())
		if alarm := p.alarm(); alarm != "" {
			errs = append(errs, errors.New(alarm))
		}
	}
	for _, front := range w.fronts {
		front.close()
	}
	if w.admin != nil {
		w.admin.http.CloseIdleConnections()
	}
	if w.medium != nil {
		errs = append(errs, w.medium.close())
	}
	return errors.Join(errs...)
}
