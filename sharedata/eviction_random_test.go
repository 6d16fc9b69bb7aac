package sharedata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

// joined is an observation: what it was told must continue where it began.
type joined struct {
	from Snapshot

	mu     sync.Mutex
	events []Event
}

func (j *joined) Observe(events []Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, events...)
}

// check says what in the events does not continue, and how many there are. A
// break leads on from where it says.
func (j *joined) check() (told int, problem string) {
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

// storm does random things to ShareData of which few have room, with a manager
// that has the store for itself or several on the same one, and counts what was
// accepted.
type storm struct {
	t        *testing.T
	managers []*Manager
	ids      []string

	mu           sync.Mutex
	accepted     map[string]int
	observations int
}

func newStorm(t *testing.T, managers int) *storm {
	s := &storm{t: t, accepted: make(map[string]int)}
	shared := replaytest.NewShared()
	for range managers {
		var store replay.Store = shared.Process()
		if managers == 1 {
			store = struct{ replay.Store }{store} // of its own: no Follower
		}
		s.managers = append(s.managers, newManagerWith(t, &Options{
			Store: store, MaxLoadedBytes: 10 * 1300, Kinds: []Kind{NewKind("number", increment)},
		}))
	}
	for i := range 40 {
		id := fmt.Sprint(i)
		if _, err := s.managers[0].CreateKind(context.Background(), id, "number", 0); err != nil {
			t.Fatal(err)
		}
		s.ids = append(s.ids, id)
	}
	return s
}

func (s *storm) work(random *rand.Rand, steps int) {
	ctx := context.Background()
	for range steps {
		m, id := s.managers[random.IntN(len(s.managers))], s.ids[random.IntN(len(s.ids))]
		switch choice := random.IntN(20); {
		case choice < 10:
			s.increment(m, id)
		case choice < 14:
			if _, err := m.Get(ctx, id); err != nil {
				s.t.Error(err)
			}
		case choice < 16:
			if _, err := m.Get(ctx, "unknown "+id); !errors.Is(err, ErrUnknownShareData) {
				s.t.Error(err)
			}
		case choice < 17:
			other := "removed " + id
			_, _ = m.CreateKind(ctx, other, "number", 0)
			_ = m.Remove(ctx, other)
		default:
			s.observe(m, id, random.IntN(3))
		}
	}
}

func (s *storm) increment(m *Manager, id string) {
	v, err := m.Propose(context.Background(), Proposal{ShareDataID: id, FunctionID: "increment"})
	if err != nil || !v.Accepted {
		s.t.Errorf("%q: %+v, %v", id, v, err)
	}
	s.mu.Lock()
	s.accepted[id]++
	s.mu.Unlock()
}

// observe joins, proposes, and must have been told of that.
func (s *storm) observe(m *Manager, id string, proposals int) {
	j := new(joined)
	snapshot, stop, err := m.Observe(context.Background(), id, j)
	if err != nil {
		s.t.Error(err)
		return
	}
	j.from = snapshot
	for range proposals {
		s.increment(m, id)
	}
	if told, problem := j.check(); told < proposals || problem != "" {
		s.t.Errorf("an observer of %q was told of %d entries after %d proposals: %s", id, told, proposals, problem)
	}
	stop()
	s.mu.Lock()
	s.observations++
	s.mu.Unlock()
}

// Under constant eviction nothing is lost: no update, no observer, no byte of the
// count.
func TestEviction_Random(t *testing.T) {
	for _, managers := range []int{1, 2, 3} {
		t.Run(fmt.Sprint("managers=", managers), func(t *testing.T) {
			s := newStorm(t, managers)
			var wait sync.WaitGroup
			for worker := range uint64(4) {
				wait.Go(func() { s.work(rand.New(rand.NewPCG(worker, uint64(managers))), 120) })
			}
			wait.Wait()
			for _, id := range s.ids {
				for _, m := range s.managers {
					wantNumber(t, m, id, s.accepted[id])
				}
			}
			for i, m := range s.managers {
				for _, one := range m.all() {
					if one.observed.Load() || one.unfollow != nil {
						t.Errorf("manager %d: %q is observed though all have stopped", i, one.id)
					}
				}
				m.Close() // which waits until nothing goes on
				if loaded := wantCounted(t, m); m.isOverLimit() {
					t.Errorf("manager %d: %d are loaded when nothing goes on, %d bytes", i, loaded, m.loadedBytes.Load())
				}
			}
			t.Logf("%d observations", s.observations)
		})
	}
}

// Many observers stop at the moment at which their ShareData is removed.
func TestEviction_RemovedWhileStopping(t *testing.T) {
	m, _ := newCrowded(t, 10_000)
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
	m.Close() // which waits until nothing goes on
	if loaded := wantCounted(t, m); loaded != 0 || m.loadedBytes.Load() != 0 {
		t.Errorf("%d are loaded, %d bytes", loaded, m.loadedBytes.Load())
	}
}
