package sharedata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
)

// sequenceObserver is an observer that checks that its events continue the snapshot at
// which it began.
type sequenceObserver struct {
	from Snapshot

	mu     sync.Mutex
	events []Event
}

func (j *sequenceObserver) Observe(events []Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, events...)
}

// check returns the number of events, and the first that does not continue those before
// it. A reset may lead anywhere.
func (j *sequenceObserver) check() (notified int, problem string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := j.from.Cursor
	for _, e := range j.events {
		if !e.Reset && e.Cursor != at.Next() {
			return len(j.events), fmt.Sprintf("%s after %s", e.Cursor, at)
		}
		at = e.Cursor
	}
	return len(j.events), ""
}

// workload does random things to more ShareData than may be loaded, with a manager that
// has the store to itself or several on the same one, and counts what was accepted.
type workload struct {
	t        *testing.T
	managers []*Manager
	ids      []string

	mu           sync.Mutex
	accepted     map[string]int
	observations int
}

func newWorkload(t *testing.T, managers int) *workload {
	w := &workload{t: t, accepted: make(map[string]int)}
	shared := sharedstore.New()
	for range managers {
		var store replay.Store = shared.Process()
		if managers == 1 {
			store = struct{ replay.Store }{store} // a store of one manager is no Follower
		}
		w.managers = append(w.managers, newManagerWith(t, &Options{
			Store: store, MaxLoadedBytes: 10 * 1300, Kinds: []Kind{NewKind("number", increment)},
		}))
	}
	for i := range 40 {
		id := fmt.Sprint(i)
		if _, err := w.managers[0].CreateKind(context.Background(), id, "number", 0); err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, id)
	}
	return w
}

func (w *workload) work(random *rand.Rand, steps int) {
	ctx := context.Background()
	for range steps {
		m, id := w.managers[random.IntN(len(w.managers))], w.ids[random.IntN(len(w.ids))]
		switch choice := random.IntN(20); {
		case choice < 10:
			w.increment(m, id)
		case choice < 14:
			if _, err := m.Get(ctx, id); err != nil {
				w.t.Error(err)
			}
		case choice < 16:
			if _, err := m.Get(ctx, "unknown "+id); !errors.Is(err, ErrUnknownShareData) {
				w.t.Error(err)
			}
		case choice < 17:
			other := "removed " + id
			_, _ = m.CreateKind(ctx, other, "number", 0)
			_ = m.Remove(ctx, other)
		default:
			w.observe(m, id, random.IntN(3))
		}
	}
}

func (w *workload) increment(m *Manager, id string) {
	v, err := m.Propose(context.Background(), Proposal{ShareDataID: id, FunctionID: "increment"})
	if err != nil || !v.Accepted {
		w.t.Errorf("%q: %+v, %v", id, v, err)
	}
	w.mu.Lock()
	w.accepted[id]++
	w.mu.Unlock()
}

// observe observes, proposes, and checks that the observer was notified of that.
func (w *workload) observe(m *Manager, id string, proposals int) {
	j := new(sequenceObserver)
	snapshot, stop, err := m.Observe(context.Background(), id, j)
	if err != nil {
		w.t.Error(err)
		return
	}
	j.from = snapshot
	for range proposals {
		w.increment(m, id)
	}
	if notified, problem := j.check(); notified < proposals || problem != "" {
		w.t.Errorf("an observer of %q was notified of %d entries after %d proposals: %s", id, notified, proposals, problem)
	}
	stop()
	w.mu.Lock()
	w.observations++
	w.mu.Unlock()
}

// Under constant eviction nothing is lost: no update, no observer, no byte of the
// count.
func TestEviction_Random(t *testing.T) {
	for _, managers := range []int{1, 2, 3} {
		t.Run(fmt.Sprint("managers=", managers), func(t *testing.T) {
			w := newWorkload(t, managers)
			var wait sync.WaitGroup
			for worker := range uint64(4) {
				wait.Go(func() { w.work(rand.New(rand.NewPCG(worker, uint64(managers))), 120) })
			}
			wait.Wait()
			for _, id := range w.ids {
				for _, m := range w.managers {
					wantNumber(t, m, id, w.accepted[id])
				}
			}
			for i, m := range w.managers {
				for _, one := range m.all() {
					if one.observed.Load() || one.unfollow != nil {
						t.Errorf("manager %d: %q is observed though all observers have stopped", i, one.id)
					}
				}
				m.Close() // waits until nothing is under way
				if loaded := wantCounted(t, m); m.isOverLimit() {
					t.Errorf("manager %d: %d are loaded when nothing is under way, %d bytes", i, loaded, m.loadedBytes.Load())
				}
			}
			t.Logf("%d observations", w.observations)
		})
	}
}

// Many observers stop at the moment at which their ShareData is removed.
func TestEviction_RemovedWhileStopping(t *testing.T) {
	m, _ := newLimited(t, 10_000)
	var wait sync.WaitGroup
	for i := range 500 {
		id := fmt.Sprint(i)
		if _, err := m.Create(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			removed := make(chan struct{})
			_, stop, err := m.Observe(t.Context(), id, ObserverFunc(func([]Event) { close(removed) }))
			if err != nil {
				t.Fatal(err)
			}
			wait.Go(func() {
				<-removed
				stop()
				stop()
			})
		}
		if err := m.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	m.Close() // waits until nothing is under way
	if loaded := wantCounted(t, m); loaded != 0 || m.loadedBytes.Load() != 0 {
		t.Errorf("%d are loaded, %d bytes", loaded, m.loadedBytes.Load())
	}
}
