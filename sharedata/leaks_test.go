package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
)

// kept returns how many ShareData are loaded, and of how many functions are registered.
func (m *Manager) kept() (shareData, functions int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.shareData), len(m.functions)
}

func nop(_ context.Context, s, _ any) (any, error) { return s, nil }

// Requests for ids that do not exist keep no memory.
func TestLeaks_UnknownIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManagerWith(t, nil)
		ctx := t.Context()
		var wait sync.WaitGroup
		for i := range 100 {
			wait.Go(func() {
				id := fmt.Sprint("unknown-", i%30) // some are asked for at once
				_, errGet := m.Get(ctx, id)
				_, errPropose := m.Propose(ctx, Proposal{ShareDataID: id, FunctionID: "f"})
				_, errUpdate := m.Update(ctx, id, 0)
				_, _, errObserve := m.Observe(ctx, id, ObserverFunc(func([]Event) {}))
				for _, err := range []error{errGet, errPropose, errUpdate, errObserve, m.Remove(ctx, id)} {
					if !errors.Is(err, ErrUnknownShareData) {
						t.Errorf("%q: %v", id, err)
					}
				}
			})
		}
		wait.Wait()
		synctest.Wait()
		if shareData, functions := m.kept(); shareData != 0 || functions != 0 {
			t.Errorf("%d ShareData and the functions of %d are held", shareData, functions)
		}
	})
}

func TestLeaks_Removed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManagerWith(t, nil)
		ctx := t.Context()
		for i := range 30 {
			id := fmt.Sprint(i)
			if _, err := m.Create(ctx, id, 0, NewFunction("f", nop)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.Observe(ctx, id, ObserverFunc(func([]Event) {})); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Propose(ctx, Proposal{ShareDataID: id, FunctionID: "f"}); err != nil {
				t.Fatal(err)
			}
			if err := m.Remove(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if shareData, functions := m.kept(); shareData != 0 || functions != 0 {
			t.Errorf("%d ShareData and the functions of %d are held", shareData, functions)
		}
	})
}

func TestLeaks_RemovedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := replay.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := newManagerWith(t, &Options{Store: memory}), newManagerWith(t, &Options{Store: memory})
		ctx := t.Context()
		if _, err := a.Create(ctx, "x", 0, NewFunction("f", nop)); err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Propose(ctx, Proposal{ShareDataID: "x", FunctionID: "f"}); !errors.Is(err, ErrUnknownShareData) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if shareData, functions := a.kept(); shareData != 0 || functions != 0 {
			t.Errorf("%d ShareData and the functions of %d are held", shareData, functions)
		}
	})
}

// failingLoad is a store that cannot load.
type failingLoad struct{ replay.Store }

func (failingLoad) Load(context.Context, string, replay.Cursor) (replay.Head, error) {
	return replay.Head{}, replay.ErrUnavailable
}

func TestLeaks_LoadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManagerWith(t, &Options{Store: failingLoad{}})
		for i := range 30 {
			if _, err := m.Get(t.Context(), fmt.Sprint(i)); !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
		synctest.Wait()
		if shareData, functions := m.kept(); shareData != 0 || functions != 0 {
			t.Errorf("%d ShareData and the functions of %d are held", shareData, functions)
		}
	})
}

func TestLeaks_StoppedObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManagerWith(t, nil)
		if _, err := m.Create(t.Context(), "x", 0); err != nil {
			t.Fatal(err)
		}
		var stops []func()
		for range 20 {
			_, stop, err := m.Observe(t.Context(), "x", ObserverFunc(func([]Event) {}))
			if err != nil {
				t.Fatal(err)
			}
			stops = append(stops, stop, m.ObserveAll(ObserverFunc(func([]Event) {})))
		}
		for _, stop := range stops {
			stop()
			stop()
		}
		s := m.loaded("x")
		s.handover.Lock()
		defer s.handover.Unlock()
		if len(s.observers) != 0 || len(m.globalObservers()) != 0 {
			t.Errorf("%d and %d observers are held", len(s.observers), len(m.globalObservers()))
		}
	})
}

// An Observe that is withdrawn leaves no observer: before its turn, while the ShareData is
// loaded, and after its turn, while the rest of its batch is evaluated.
func TestObserve_Withdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &blockedLoads{Process: sharedstore.New().Process(), open: make(chan struct{})}
		m := newManagerWith(t, &Options{Store: store, Kinds: []Kind{NewKind("number", increment)}})
		if _, err := m.CreateKind(t.Context(), "n", "number", 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		observe := func() {
			go func() {
				_, _, err := m.Observe(ctx, "n", ObserverFunc(func([]Event) { t.Error("a withdrawn observer was notified") }))
				ended <- err
			}()
			synctest.Wait()
		}
		release := make(chan struct{})
		waits := raw(func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
			<-release
			return state, nil
		}).WithTimeout(-1)
		wantWithdrawn := func(n int) {
			cancel()
			for range n {
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want the context's error", err)
				}
			}
			ctx, cancel = context.WithCancel(t.Context())
		}
		submit := func() {
			m.Submit(t.Context(), Proposal{ShareDataID: "n", Function: waits}, func(_ Verdict, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}

		store.blocked = true
		observe() // waits for the store
		observe() // waits for its turn
		wantWithdrawn(2)
		close(store.open)
		synctest.Wait()

		submit()
		observe()
		submit() // in the batch of Observe
		release <- struct{}{}
		synctest.Wait()
		wantWithdrawn(1)
		close(release)
		synctest.Wait()

		s := m.loaded("n")
		if len(s.observers) != 0 || s.observed.Load() || s.departed.Load() {
			t.Errorf("%d observers are left, observed is %t", len(s.observers), s.observed.Load())
		}
		mustIncrement(t, m, "n")
		cancel()
	})
}

// blockedLoads is the store of a process whose Load waits while it is blocked.
type blockedLoads struct {
	*sharedstore.Process
	blocked bool
	open    chan struct{}
}

func (s *blockedLoads) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	if s.blocked {
		<-s.open
	}
	return s.Process.Load(ctx, id, have)
}
