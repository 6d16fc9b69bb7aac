package sharedata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
)

// increment is a function on a number.
var increment = NewFunction("increment", func(_ context.Context, n int, _ any) (int, error) { return n + 1, nil })

// loadCounter is a store that counts the calls of Load by id.
type loadCounter struct {
	replay.Store
	mu  sync.Mutex
	ids map[string]int
}

func (l *loadCounter) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	l.mu.Lock()
	l.ids[id]++
	l.mu.Unlock()
	return l.Store.Load(ctx, id, have)
}

// take returns how often the id was loaded since the last take.
func (l *loadCounter) take(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.ids[id]
	delete(l.ids, id)
	return n
}

// newLimited returns a manager that may load about n numbers, and its store.
func newLimited(t *testing.T, n int) (*Manager, *loadCounter) {
	t.Helper()
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	store := &loadCounter{Store: memory, ids: make(map[string]int)}
	return newManagerWith(t, &Options{Store: store, MaxLoadedBytes: n * 1300, Kinds: []Kind{NewKind("number", increment)}}), store
}

func newManagerWith(t *testing.T, options *Options) *Manager {
	t.Helper()
	m, err := NewManager(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func mustIncrement(t *testing.T, m *Manager, id string) {
	t.Helper()
	if v, err := m.Propose(context.Background(), Proposal{ShareDataID: id, FunctionID: "increment"}); err != nil || !v.Accepted {
		t.Fatalf("%q: %+v, %v", id, v, err)
	}
}

func wantNumber(t *testing.T, m *Manager, id string, want int) {
	t.Helper()
	if got, err := m.Get(context.Background(), id); err != nil || string(got.State) != fmt.Sprint(want) {
		t.Errorf("%q is %s (%v), want %d", id, got.State, err, want)
	}
}

// wantCounted checks, while nothing is under way, that the memory of what is loaded is
// counted, and returns how many ShareData are loaded.
func wantCounted(t *testing.T, m *Manager) (loaded int) {
	t.Helper()
	var bytes int64
	for _, s := range m.all() {
		at := s.current.Load()
		if at == nil || !at.exists || s.evicted {
			t.Errorf("%q is loaded though it does not exist: %+v", s.id, at)
			continue
		}
		if want := int64(len(s.id)+len(at.state)+len(at.stored)) + loadedOverhead; s.size != want {
			t.Errorf("%q is counted for %d bytes, want %d", s.id, s.size, want)
		}
		bytes += s.size
		loaded++
	}
	if got := m.loadedBytes.Load(); got != bytes {
		t.Errorf("%d bytes are counted, want %d for %d ShareData", got, bytes, loaded)
	}
	return loaded
}

func TestEviction_IdleAreLoadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newLimited(t, 20)
		const n = 200
		for i := range n {
			if _, err := m.CreateKind(t.Context(), fmt.Sprint(i), "number", 0); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 3 {
			synctest.Wait()
			if loaded := wantCounted(t, m); m.isOverLimit() || loaded < 10 {
				t.Errorf("%d are loaded, %d bytes", loaded, m.loadedBytes.Load())
			}
			for i := range n {
				mustIncrement(t, m, fmt.Sprint(i))
				wantNumber(t, m, fmt.Sprint(i), round+1)
			}
		}
		for i := range n {
			if err := m.Remove(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); loaded != 0 || m.loadedBytes.Load() != 0 {
			t.Errorf("when all were removed, %d are loaded", loaded)
		}
	})
}

// A state counts with its size, also when it grows or shrinks.
func TestEviction_CountsStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newLimited(t, 100)
		for i := range 20 {
			if _, err := m.CreateKind(t.Context(), fmt.Sprint(i), "number", 0); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); loaded != 20 {
			t.Errorf("%d small ones are loaded", loaded)
		}
		large := make([]int, 30_000) // "[0,0,…]"
		for i := range 20 {
			if _, err := m.Update(t.Context(), fmt.Sprint(i), large); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); loaded > 3 {
			t.Errorf("%d large ones are loaded", loaded)
		}
		for i := range 20 {
			if _, err := m.Update(t.Context(), fmt.Sprint(i), i); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); loaded < 10 {
			t.Errorf("when they are small again, %d are loaded", loaded)
		}
	})
}

func TestEviction_UsedStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newLimited(t, 40)
		for i := range 300 {
			if _, err := m.CreateKind(t.Context(), fmt.Sprint(i), "number", 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			wantNumber(t, m, fmt.Sprint(i), 0)
			store.take(fmt.Sprint(i))
		}
		for i := range 300 {
			mustIncrement(t, m, "0")
			wantNumber(t, m, "1", 0)
			m.Submit(t.Context(), Proposal{ShareDataID: "2", FunctionID: "unknown"}, func(Verdict, error) {})
			synctest.Wait()
			wantNumber(t, m, fmt.Sprint(i), map[int]int{0: 1}[i])
		}
		for i := range 3 {
			if n := store.take(fmt.Sprint(i)); n != 0 {
				t.Errorf("%d was loaded %d times though it was used all the time", i, n)
			}
		}
	})
}

func TestEviction_ObservedStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newLimited(t, 10)
		var notified []string
		var stops []func()
		for i := range 20 { // more than may be loaded
			id := fmt.Sprint("observed ", i)
			if _, err := m.CreateKind(t.Context(), id, "number", 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 8 {
			_, stop, err := m.Observe(t.Context(), fmt.Sprint("observed ", i), ObserverFunc(func(events []Event) {
				notified = append(notified, events[0].ShareDataID)
			}))
			if err != nil {
				t.Fatal(err)
			}
			stops = append(stops, stop)
			store.take(fmt.Sprint("observed ", i))
		}
		for i := range 50 {
			if _, err := m.CreateKind(t.Context(), fmt.Sprint(i), "number", 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 8 {
			id := fmt.Sprint("observed ", i)
			mustIncrement(t, m, id)
			if n := store.take(id); n != 0 || len(notified) != i+1 || notified[i] != id {
				t.Errorf("%q was loaded %d times, notified of %q", id, n, notified)
			}
		}
		for _, stop := range stops {
			stop()
		}
		for i := range 50 {
			wantNumber(t, m, fmt.Sprint(i), 0)
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); m.isOverLimit() {
			t.Errorf("%d are loaded when nobody observes any more", loaded)
		}
	})
}

// A ShareData that is loaded to be observed is not evicted before it is, however far
// beyond the limit.
func TestEviction_ObserveOverLimit(t *testing.T) {
	m, store := newLimited(t, 10)
	m.options.MaxLoadedBytes = 1
	for i := range 200 {
		id := fmt.Sprint(i)
		if _, err := m.CreateKind(t.Context(), id, "number", 0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Observe(t.Context(), "0", new(sequenceObserver)); err != nil { // cannot be evicted from now on
			t.Fatal(err)
		}
		store.take(id)
		j := new(sequenceObserver)
		_, stop, err := m.Observe(t.Context(), id, j)
		if err != nil {
			t.Fatal(err)
		}
		mustIncrement(t, m, id)
		if notified, _ := j.check(); notified == 0 {
			t.Errorf("the observer of %q was not notified", id)
		}
		if n := store.take(id); n > 2 {
			t.Errorf("%q was loaded %d times", id, n)
		}
		stop()
	}
}

// An Observe that found the ShareData just before it was evicted must not join there.
func TestEviction_JoinEvicted(t *testing.T) {
	m, _ := newLimited(t, 10)
	if _, err := m.CreateKind(t.Context(), "n", "number", 0); err != nil {
		t.Fatal(err)
	}
	m.workers.running.Wait()
	s := m.loaded("n")
	m.mu.Lock()
	evicted := m.tryEvictLocked(s)
	m.mu.Unlock()
	if !evicted {
		t.Fatal("it was not evicted")
	}
	o := &observation{observer: new(sequenceObserver), manager: m}
	if at := s.join(o); at.exists {
		t.Errorf("joined at %s", at.cursor)
	}
	if len(s.observers) != 0 {
		t.Error("it has an observer that would never be notified")
	}
}

func TestEviction_BusyStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newLimited(t, 3)
		open := make(chan struct{})
		slow := NewFunction("slow", func(_ context.Context, n int, _ any) (int, error) {
			<-open
			return n + 1, nil
		}).WithTimeout(-1)
		if _, err := m.Create(t.Context(), "busy", 0, slow); err != nil {
			t.Fatal(err)
		}
		var verdicts []Verdict
		for range 5 {
			m.Submit(t.Context(), Proposal{ShareDataID: "busy", FunctionID: "slow"}, func(v Verdict, err error) {
				if err != nil {
					t.Error(err)
				}
				verdicts = append(verdicts, v)
			})
		}
		for i := range 30 {
			if _, err := m.CreateKind(t.Context(), fmt.Sprint(i), "number", 0); err != nil {
				t.Fatal(err)
			}
			if m.loaded("busy") == nil {
				t.Fatal("it was evicted while it was busy")
			}
		}
		close(open)
		synctest.Wait()
		if len(verdicts) != 5 {
			t.Errorf("%d verdicts", len(verdicts))
		}
		wantNumber(t, m, "busy", 5)
	})
}

// Functions that were given to Create cannot be found again from anywhere.
func TestEviction_KeepsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store := newLimited(t, 5)
		for i := range 50 {
			if _, err := m.Create(t.Context(), fmt.Sprint(i), 0, increment); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		loads := 0
		for i := range 50 {
			store.take(fmt.Sprint(i))
			mustIncrement(t, m, fmt.Sprint(i))
			loads += store.take(fmt.Sprint(i))
		}
		if loads < 45 {
			t.Errorf("%d of 50 were loaded again", loads)
		}
	})
}

func TestEviction_Off(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManagerWith(t, &Options{MaxLoadedBytes: -1})
		for i := range 300 {
			if _, err := m.Create(t.Context(), fmt.Sprint(i), make([]int, 100)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if loaded := wantCounted(t, m); loaded != 300 {
			t.Errorf("%d are loaded", loaded)
		}
	})
}

// A ShareData that was evicted is as fresh as the store when it is loaded again.
func TestEviction_ChangedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		options := func() *Options {
			return &Options{Store: shared.Process(), MaxLoadedBytes: 1, Kinds: []Kind{NewKind("number", increment)}}
		}
		a, b := newManagerWith(t, options()), newManagerWith(t, options())
		if _, err := a.CreateKind(t.Context(), "n", "number", 0); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mustIncrement(t, a, "n")
			mustIncrement(t, b, "n")
		}
		wantNumber(t, a, "n", 10)
		if err := a.Remove(t.Context(), "n"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Get(t.Context(), "n"); !errors.Is(err, ErrUnknownShareData) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		for _, m := range []*Manager{a, b} {
			if loaded := wantCounted(t, m); loaded != 0 {
				t.Errorf("%d are loaded", loaded)
			}
		}
	})
}
