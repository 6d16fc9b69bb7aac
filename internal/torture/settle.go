package torture

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// settle brings everything to rest: all servers run, the network is good,
// nobody asks for anything, and everybody who is subscribed gets to the end.
// Then it has the recording judged.
func (w *world) settle() *Report {
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Patience)
	defer cancel()
	settled := make(chan struct{})
	var resting sync.WaitGroup
	var mu sync.Mutex
	var visits []*visit
	stay, leave := context.WithCancel(w.ctx)
	for _, p := range w.peers {
		resting.Go(func() {
			if v := p.rest(stay, settled); v != nil {
				mu.Lock()
				defer mu.Unlock()
				visits = append(visits, v)
			}
		})
	}
	late := w.awaitRest(ctx)
	close(settled)
	resting.Wait()
	report := w.judge(late)
	for _, v := range visits {
		v.cut()
	}
	leave()
	return report
}

// restPatience is how long a peer stays on a connection while not everything is
// at rest.
const restPatience = 15 * time.Second

// rest subscribes for good: again and again, until everything is settled.
func (p *peer) rest(ctx context.Context, settled <-chan struct{}) *visit {
	for {
		v := p.connect(ctx)
		if v != nil {
			for _, id := range p.ids {
				cursor, _ := p.places.of(id)
				v.subscribe(id, cursor)
			}
			select {
			case <-v.ended:
			case <-v.refused: // the store cannot be read yet
			case <-time.After(restPatience): // it may have got into a black hole
			case <-settled:
				return v
			}
			v.cut()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-settled:
			return nil
		}
	}
}

// awaitRest waits until every ShareData is there and everybody has got to the
// end of its history. It returns who has not when the context ends.
func (w *world) awaitRest(ctx context.Context) (late []string) {
	for {
		now := w.late(ctx)
		switch {
		case len(now) == 0:
			return nil
		case ctx.Err() != nil && late != nil:
			return late // what was found now was cut short
		}
		late = now
		pause(ctx, 100*time.Millisecond)
	}
}

// late names who has not got to the end, and what is not there.
func (w *world) late(ctx context.Context) (late []string) {
	for i, id := range w.ids {
		entries, err := w.medium.history(ctx, id)
		if err != nil {
			late = append(late, fmt.Sprintf("%s: %v", id, err))
			// It was removed last, or the store has lost it.
			_ = w.admin.create(ctx, w.processes[i%len(w.processes)], id, randomState(stream(w.options.Seed, id), id))
			continue
		}
		head := entries[len(entries)-1].Cursor.String()
		for _, c := range w.clients() {
			if at, _ := c.places.of(id); c.watches(id) && at != head {
				late = append(late, fmt.Sprintf("%s got to %q of %s instead of %s", c.name, at, id, head))
			}
		}
	}
	return late
}

// subscriber is a user or a peer.
type subscriber struct {
	name   string
	ids    []string
	places *places
}

func (s subscriber) watches(id string) bool {
	for _, watched := range s.ids {
		if watched == id {
			return true
		}
	}
	return false
}

func (w *world) clients() []subscriber {
	var all []subscriber
	for _, u := range w.users {
		all = append(all, subscriber{u.name, u.ids, &u.places})
	}
	for _, p := range w.peers {
		all = append(all, subscriber{p.name, p.ids, &p.places})
	}
	return all
}

// judge has the recording judged. It records how the histories have ended
// before, while everybody is still subscribed.
func (w *world) judge(late []string) *Report {
	ctx, cancel := context.WithTimeout(w.ctx, w.options.Patience)
	defer cancel()
	for _, id := range w.ids {
		err := persist(ctx, func() error { return w.recordEnd(ctx, id) })
		if err != nil {
			w.fail(fmt.Errorf("%s cannot be read in the end: %w", id, err))
		}
	}
	report := &Report{Options: w.options, Late: late, Faults: w.faults, Moves: int(w.moves.Load())}
	for _, front := range w.fronts {
		report.Connections += front.connections()
	}
	for _, u := range w.users {
		report.Restarts += u.restarts
	}
	report.Violations = w.recorder.Check(checker.Options{
		Window: w.options.Window, Complete: true, Durable: true, Attributed: true,
		FreshReads: w.options.Processes == 1, Models: models(w.ids),
	})
	report.Summary = w.recorder.Summary()
	if err := w.medium.examine(w); err != nil {
		report.Examined = err
	}
	return report
}

// recordEnd records how a history has ended.
func (w *world) recordEnd(ctx context.Context, id string) error {
	entries, err := w.medium.history(ctx, id)
	if err != nil {
		return err
	}
	snapshot, err := w.medium.snapshot(ctx, id)
	if err != nil {
		return err
	}
	w.recorder.History(entries)
	w.recorder.Final(snapshot)
	w.histories[id] = entries
	return nil
}

// persist tries until it works or the context ends.
func persist(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// Err says what is wrong with the run, nil if nothing is.
func (r *Report) Err() error {
	var errs []error
	if len(r.Violations) > 0 {
		errs = append(errs, errors.New(r.Violations.String()))
	}
	if r.Examined != nil {
		errs = append(errs, fmt.Errorf("what is left in the store: %w", r.Examined))
	}
	if len(r.Late) > 0 {
		errs = append(errs, fmt.Errorf("not at rest after %v: %v", r.Options.Patience, r.Late[:min(len(r.Late), 10)]))
	}
	return errors.Join(errs...)
}
