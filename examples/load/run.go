package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

// readyTimeout is how long after the ramp the last subscriber may take for its state.
const readyTimeout = 15 * time.Second

// run is one run of the generator: subscribe, warm up, measure, drain.
type run struct {
	config      config
	endpoint    *endpoint
	web         *http.Client // for proposals by POST
	ids         []string
	subscribers []*subscriber
	ready       sync.WaitGroup // of subscribers without a first state
	started     time.Time

	measureFrom  atomic.Int64 // the first time stamp that counts for latencies
	transactions atomic.Int64
	reconnects   atomic.Int64
	errors       errorCounts
	results      histogram // from the proposal to its result
	deliveries   histogram // from the proposal to its delivery

	mu      sync.Mutex
	reached []replay.Cursor // of each ShareData, by the results of proposals
}

func newRun(c config) (*run, error) {
	endpoint, err := newEndpoint(c.url, c.token)
	if err != nil {
		return nil, err
	}
	r := &run{config: c, endpoint: endpoint, ids: c.shareDataIDs(), started: time.Now()}
	r.errors.counts, r.errors.firsts = make(map[string]int64), make(map[string]error)
	r.measureFrom.Store(math.MaxInt64)
	r.reached = make([]replay.Cursor, len(r.ids))
	r.web = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: c.proposers * c.window}}
	for number := range c.subscribers {
		stalls := (number+1)*c.stalled/100 > number*c.stalled/100 // as evenly as possible
		r.subscribers = append(r.subscribers, &subscriber{run: r, number: number, id: r.ids[number%len(r.ids)], stalls: stalls})
	}
	r.ready.Add(c.subscribers)
	return r, nil
}

// execute runs until the duration is over, or less if ctx ends. In hold mode it proposes
// once a line, or the end, is read from in.
func (r *run) execute(ctx context.Context, in io.Reader, progress io.Writer) (*report, error) {
	defer r.web.CloseIdleConnections()
	if r.config.create {
		for _, id := range r.ids {
			if err := r.endpoint.create(ctx, r.web, id, filled(r.config.data, 0)); err != nil {
				return nil, err
			}
		}
	}
	// Subscribers outlive the end of the proposals, and proposers wait for replies.
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { r.showProgress(live, progress) })
	if err := r.subscribeAll(ctx, live, &running); err != nil {
		return nil, err
	}
	subscribed := r.subscribed()
	if r.config.hold {
		fmt.Fprintf(progress, "holding %d of %d\n", subscribed, len(r.subscribers))
		if err := waitForLine(ctx, in); err != nil {
			return nil, err
		}
	}
	result := r.measure(ctx, live)
	result.Subscribed, result.Disconnected = subscribed, len(r.subscribers)-r.subscribed()
	for _, s := range r.subscribers {
		s.finish(r.reachedBy(s))
	}
	cancel()
	running.Wait()
	r.complete(result)
	return result, nil
}

// subscribeAll starts the subscribers at the pace of the ramp, and waits until each has
// its first state or failed for good.
func (r *run) subscribeAll(ctx, live context.Context, running *sync.WaitGroup) error {
	for number, s := range r.subscribers {
		due := r.started.Add(time.Duration(float64(number) / r.config.ramp * float64(time.Second)))
		if !wait(ctx, time.Until(due)) {
			return ctx.Err()
		}
		running.Go(func() { s.follow(live) })
	}
	all := make(chan struct{})
	go func() { r.ready.Wait(); close(all) }()
	limit := time.NewTimer(readyTimeout)
	defer limit.Stop()
	select {
	case <-all:
	case <-limit.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(r.subscribers) > 0 && r.subscribed() == 0 {
		return fmt.Errorf("no subscriber got its state; errors:\n%s", r.errors.String())
	}
	return nil
}

// measure proposes until the time is over, or in hold mode once to each ShareData, and
// returns what happened after the warm-up. It waits until everything is delivered that
// was proposed.
func (r *run) measure(ctx, live context.Context) *report {
	ctx, stop := context.WithTimeout(ctx, r.config.warmUp+r.config.duration)
	defer stop()
	begin := time.Now().Add(r.config.warmUp)
	r.measureFrom.Store(r.stamp(begin))
	transactions, deliveries := r.transactions.Load(), r.delivered()
	var proposing sync.WaitGroup
	for number := range r.config.proposers {
		p := r.newProposer(number)
		proposing.Go(func() { p.propose(ctx, live) })
	}
	if r.config.warmUp > 0 {
		wait(ctx, r.config.warmUp)
		transactions, deliveries = r.transactions.Load(), r.delivered()
	}
	if r.config.hold {
		proposing.Wait()
		r.drain()
	} else {
		<-ctx.Done()
	}
	result := &report{
		Seconds:      max(time.Since(begin).Seconds(), 0.001), // it may be interrupted before
		Transactions: r.transactions.Load() - transactions,
		Deliveries:   r.delivered() - deliveries,
	}
	proposing.Wait()
	r.drain()
	return result
}

func (r *run) newProposer(number int) *proposer {
	c := r.config
	p := &proposer{run: r, number: number, limit: -1}
	switch {
	case c.hold:
		p.limit = len(r.ids)
	case c.rate > 0:
		p.interval = time.Duration(float64(c.proposers) / c.rate * float64(time.Second))
		// Not all proposers at the same moment.
		p.due = time.Now().Add(p.interval * time.Duration(number) / time.Duration(c.proposers))
	}
	return p
}

// drain waits until every subscriber has what is known to be committed, for a bounded
// time.
func (r *run) drain() {
	limit := time.NewTimer(r.config.drain)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !r.allReached() {
		select {
		case <-tick.C:
		case <-limit.C:
			return
		}
	}
}

func (r *run) allReached() bool {
	for _, s := range r.subscribers {
		if !s.reached(r.reachedBy(s)) {
			return false
		}
	}
	return true
}

// reachedBy is the latest position of the ShareData of a subscriber.
func (r *run) reachedBy(s *subscriber) replay.Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reached[s.number%len(r.ids)]
}

// settled takes the reply to a proposal, whose correlation id is <time stamp>.<index of
// the ShareData>. It returns false for a reply to no proposal of this run.
func (r *run) settled(correlation, reply []byte) bool {
	stamp, digits, _ := strings.Cut(string(correlation), ".")
	sent, err := strconv.ParseInt(stamp, 10, 64)
	index, indexErr := strconv.Atoi(digits)
	if err != nil || indexErr != nil || index < 0 || index >= len(r.reached) {
		return false
	}
	if sent >= r.measureFrom.Load() {
		r.results.add(r.stamp(time.Now()) - sent)
	}
	if code := text(first(reply, `"code":"`)); len(code) > 0 {
		r.errors.add(&failure{code: string(code), cause: fmt.Errorf("%.200s", reply)})
	}
	if at := cursor(first(reply, `"transactionId":"`)); !at.IsZero() {
		r.transactions.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		known := &r.reached[index]
		if at.After(*known) {
			*known = at
		}
	}
	return true
}

func (r *run) isMeasuring() bool { return r.stamp(time.Now()) >= r.measureFrom.Load() }

// measureDelivery takes the time stamp of a live transaction; 0 is none.
func (r *run) measureDelivery(sent int64) {
	if sent > 0 && sent >= r.measureFrom.Load() {
		r.deliveries.add(r.stamp(time.Now()) - sent)
	}
}

// stamp is a time in microseconds since 1970. Within a process it is that of the
// monotonic clock.
func (r *run) stamp(t time.Time) int64 {
	return r.started.UnixMicro() + t.Sub(r.started).Microseconds()
}

func (r *run) delivered() (sum int64) {
	for _, s := range r.subscribers {
		sum += s.deliveries.Load()
	}
	return sum
}

func (r *run) subscribed() (sum int) {
	for _, s := range r.subscribers {
		s.mu.Lock()
		if s.subscribed {
			sum++
		}
		s.mu.Unlock()
	}
	return sum
}

// waitForLine returns once a line, or the end, is read.
func waitForLine(ctx context.Context, in io.Reader) error {
	read := make(chan struct{})
	go func() { // it may outlive the call: a read of standard input cannot be ended
		_, _ = bufio.NewReader(in).ReadString('\n')
		close(read)
	}()
	select {
	case <-read:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
