package torture

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// quiesce waits until the system is idle and every subscription is current: all
// servers run, the network is good, no client proposes. Then it evaluates the
// recording.
func (d *driver) quiesce() *Report {
	ctx, cancel := context.WithTimeout(d.ctx, d.options.QuiesceTimeout)
	defer cancel()
	current := make(chan struct{})
	var staying sync.WaitGroup
	var mu sync.Mutex
	var connections []*connection
	connected, disconnect := context.WithCancel(d.ctx)
	defer disconnect()
	for _, r := range d.rawClients {
		staying.Go(func() {
			if c := r.stayConnected(connected, current); c != nil {
				mu.Lock()
				defer mu.Unlock()
				connections = append(connections, c)
			}
		})
	}
	var streaming sync.WaitGroup
	for _, c := range d.streamClients {
		streaming.Go(func() { c.stayConnected(connected, current) })
	}
	late := d.awaitCurrent(ctx)
	close(current)
	staying.Wait()
	report := d.evaluate(late)
	for _, c := range connections {
		c.cut()
	}
	disconnect()
	streaming.Wait()
	return report
}

// stayTime is how long stayConnected uses a connection: a proxy may have lost it.
const stayTime = 15 * time.Second

// stayConnected subscribes to everything, again and again, until current is closed.
// It returns the connection of that time, nil if there is none.
func (r *rawClient) stayConnected(ctx context.Context, current <-chan struct{}) *connection {
	for {
		if c := r.connect(ctx); c != nil {
			for _, id := range r.ids {
				r.positions.ask(id)
				c.subscribe(id, r.positions.of(id))
			}
			select {
			case <-c.ended:
			case <-c.endedSubscription: // the store cannot be read yet, or the ShareData was removed
			case <-time.After(stayTime):
			case <-current:
				return c
			}
			c.cut()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-current:
			return nil
		}
	}
}

// awaitCurrent waits until every ShareData exists and every subscription is at the
// end of its history. It returns what is late when the context ends.
func (d *driver) awaitCurrent(ctx context.Context) (late []string) {
	for {
		now := d.late(ctx)
		switch {
		case len(now) == 0:
			return nil
		case ctx.Err() != nil && late != nil:
			return late // the newer list was cut short by the context
		}
		late = now
		pause(ctx, 100*time.Millisecond)
	}
}

// late names the ShareData that do not exist, which it creates, and the
// subscriptions that are not at the end of their histories.
func (d *driver) late(ctx context.Context) (late []string) {
	type client struct {
		name      string
		ids       []string
		positions *positions
	}
	var clients []client
	for _, c := range d.goClients {
		clients = append(clients, client{c.name, c.ids, &c.positions})
	}
	for _, r := range d.rawClients {
		clients = append(clients, client{r.name, r.ids, &r.positions})
	}
	for _, c := range d.streamClients {
		clients = append(clients, client{c.name, c.ids, &c.positions})
	}
	for i, id := range d.ids {
		entries, err := d.backend.history(ctx, id)
		if err != nil {
			late = append(late, fmt.Sprintf("%s: %v", id, err))
			// It was removed last, or the store has lost it.
			_ = d.admin.create(ctx, d.processes[i%len(d.processes)], id, randomState(stream(d.options.Seed, id), id))
			continue
		}
		head := entries[len(entries)-1].Cursor.String()
		for _, c := range clients {
			if slices.Contains(c.ids, id) && !c.positions.isAt(id, head) {
				late = append(late, fmt.Sprintf("%s is at %q of %s instead of %s", c.name, c.positions.of(id), id, head))
			}
		}
	}
	return late
}

// evaluate records the ends of the histories, and evaluates the recording.
func (d *driver) evaluate(late []string) *Report {
	ctx, cancel := context.WithTimeout(d.ctx, d.options.QuiesceTimeout)
	defer cancel()
	for _, id := range d.ids {
		err := d.recordEnd(ctx, id)
		for ; err != nil && ctx.Err() == nil; err = d.recordEnd(ctx, id) {
			pause(ctx, 100*time.Millisecond)
		}
		if err != nil {
			d.fail(fmt.Errorf("%s cannot be read at the end: %w", id, err))
		}
	}
	report := &Report{Options: d.options, Late: late, Faults: d.faults, Moves: int(d.moves.Load())}
	report.StreamFrames, report.Posts = int(d.streamFrames.Load()), int(d.posts.Load())
	for _, p := range d.proxies {
		report.Connections += p.connections()
	}
	for _, c := range d.goClients {
		report.Restarts += c.restarts
	}
	report.Violations = d.recorder.Check(checker.Options{
		Window: d.options.Window, Retention: d.options.Retention, Complete: true, Durable: true, Attributed: true,
		FreshReads: d.options.Processes == 1, Models: models(d.ids),
	})
	d.mu.Lock()
	report.Violations = append(report.Violations, d.violations...)
	d.mu.Unlock()
	report.Summary = d.recorder.Summary()
	report.Stored = d.backend.verifyStored(d)
	return report
}

// recordEnd records the end of a history.
func (d *driver) recordEnd(ctx context.Context, id string) error {
	entries, err := d.backend.history(ctx, id)
	if err != nil {
		return err
	}
	snapshot, err := d.backend.snapshot(ctx, id)
	if err != nil {
		return err
	}
	d.recorder.History(entries)
	d.recorder.Final(snapshot)
	d.histories[id] = entries
	return nil
}
