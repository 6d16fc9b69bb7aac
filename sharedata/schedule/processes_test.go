package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Of two processes, one makes a proposal, and the other one only if that has not finished
// in time.
func TestProcesses_Takeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := sharedstore.New()
		var a *fixture
		a = newFixture(t, medium.Process(), &Options{Authorize: func(context.Context, Proposal) error {
			a.cancel() // it has begun, and is not submitted
			return nil
		}})
		a.run()
		a.schedule(proposal("a", time.Minute))
		synctest.Wait()
		b := newFixture(t, medium.Process(), nil)
		b.scheduler.now = func() time.Time { return time.Now().Add(-time.Second) } // so that a is first
		b.run()
		time.Sleep(time.Minute + 4*time.Second)
		b.wantList()
		if p, err := b.scheduler.Get(t.Context(), "a"); err != nil || !p.Begun {
			t.Errorf("%+v, %v", p, err)
		}
		time.Sleep(2 * time.Second)
		b.wantList("a")
		b.wantStory("a", "schedule", "begin", "begin", "finish")
	})
}

// A process gets what another one has just scheduled, before it is notified.
func TestProcesses_Get(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := sharedstore.New()
		a, b := newFixture(t, medium.Process(), nil), newFixture(t, medium.Process(), nil)
		b.run()
		for i := range 100 {
			name := fmt.Sprint(i)
			a.schedule(proposal(name, time.Hour))
			if _, err := b.scheduler.Get(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.scheduler.Get(t.Context(), "unknown"); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
	})
}

// A store that processes cannot share has no other process that may still be at it.
func TestRestart_TakesOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(t)
		var a *fixture
		a = newFixture(t, store, &Options{Authorize: func(context.Context, Proposal) error {
			a.cancel() // it has begun, and is not submitted
			return nil
		}})
		a.run()
		a.schedule(proposal("a", time.Minute))
		time.Sleep(time.Minute)
		synctest.Wait()
		a.stop()
		if err := a.manager.Close(); err != nil {
			t.Fatal(err)
		}
		b := newFixture(t, store, nil)
		b.run()
		b.wantList("a")
		b.wantStory("a", "schedule", "begin", "begin", "finish")
	})
}

func TestProcesses_OneMakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := sharedstore.New()
		a, b := newFixture(t, medium.Process(), nil), newFixture(t, medium.Process(), nil)
		a.run()
		b.run()
		var names []string
		for i := range 50 {
			name := fmt.Sprintf("%02d", i)
			names = append(names, name)
			a.schedule(proposal(name, time.Duration(i+1)*time.Second))
		}
		time.Sleep(time.Hour)
		a.wantList(names...)
		b.wantList(names...)
		b.wantWaiting()
	})
}

// outage is a store that fails while it is set.
type outage struct {
	replay.Store
	fails atomic.Bool
}

func (o *outage) Append(ctx context.Context, id string, b replay.Batch) error {
	if o.fails.Load() {
		return fmt.Errorf("%w: the test says so", replay.ErrUnavailable)
	}
	return o.Store.Append(ctx, id, b)
}

func TestStore_Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &outage{Store: newMemory(t)}
		f := newFixture(t, store, nil)
		f.run()
		f.schedule(proposal("a", time.Minute))
		store.fails.Store(true)
		time.Sleep(time.Hour)
		f.wantWaiting("a")
		store.fails.Store(false)
		time.Sleep(2 * maxRetry)
		f.wantList("a")
		f.wantWaiting()
	})
}

// Processes start and stop while proposals are scheduled, changed and cancelled: each that was not
// cancelled is made once, in time, and none that was.
func TestProcesses_Random(t *testing.T) {
	for range 4 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { runRandom(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runRandom(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	medium := sharedstore.New()
	var processes [3]*fixture
	for i := range processes {
		processes[i] = newFixture(t, medium.Process(), nil)
	}
	running := make(map[*fixture]bool)
	var waits, cancelled []string
	for i := range 300 {
		f := processes[rng.IntN(len(processes))]
		switch n := rng.IntN(10); {
		case n < 5:
			name := fmt.Sprint(i)
			f.schedule(proposal(name, time.Duration(rng.IntN(60))*time.Second))
			waits = append(waits, name)
		case n < 6 && len(waits) > 0:
			err := f.scheduler.Replace(t.Context(), waits[0], proposal(waits[0], time.Duration(rng.IntN(60))*time.Second))
			if err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrBegun) {
				t.Fatal(err)
			}
		case n < 7 && len(waits) > 0:
			at := rng.IntN(len(waits))
			switch err := f.scheduler.Cancel(t.Context(), waits[at]); {
			case err == nil:
				cancelled = append(cancelled, waits[at])
				waits = slices.Delete(waits, at, at+1)
			case !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrBegun):
				t.Fatal(err)
			}
		case n < 8 && running[f]:
			f.stop()
			running[f] = false
		case n < 9 && !running[f]:
			f.run()
			running[f] = true
		default:
			time.Sleep(time.Duration(rng.IntN(20_000)) * time.Millisecond)
		}
	}
	if f := processes[0]; !running[f] {
		f.run()
	}
	time.Sleep(10 * time.Minute)
	processes[0].wantWaiting()
	var made []string
	for _, e := range processes[0].transactions("list") {
		name, err := sharedata.Decode[string](e.Data)
		if err != nil || !e.Accepted {
			t.Errorf("%+v, %v", e, err)
		}
		made = append(made, name)
	}
	slices.Sort(made)
	slices.Sort(waits)
	if !slices.Equal(made, waits) {
		t.Errorf("made %v, want %v; %v were cancelled", made, waits, cancelled)
	}
}
