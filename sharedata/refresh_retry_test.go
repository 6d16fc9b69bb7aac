package sharedata_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// lagging is a process that observes "counter" and has missed an entry, and whose
// loads fail while failing is set.
type lagging struct {
	store   *proxy
	process *sharedstore.Process
	seen    recorder
	from    sharedata.Snapshot
	manager *sharedata.Manager
	stop    func()
	failing atomic.Bool

	mu    sync.Mutex
	loads []time.Duration // when it has loaded, since the test began
}

func (b *lagging) loadTimes() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.loads)
}

func newLagging(t *testing.T) *lagging {
	shared := sharedstore.New()
	a := newNode(t, shared.Process(), nil)
	ensureCounter(t, a)
	b := &lagging{process: shared.Process()}
	t.Cleanup(func() { b.process.Close() })
	b.store = newProxy(b.process)
	b.manager = newManager(t, &sharedata.Options{Store: b.store})
	b.from, b.stop = mustObserve(t, b.manager, "counter", &b.seen)
	synctest.Wait()
	begin := time.Now()
	b.failing.Store(true)
	b.store.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		b.mu.Lock()
		b.loads = append(b.loads, time.Since(begin))
		b.mu.Unlock()
		if b.failing.Load() {
			return replay.Head{}, replay.ErrUnavailable
		}
		return b.process.Load(ctx, id, have)
	}
	b.process.LoseAnnouncements(true)
	a.add(t, 1)
	b.process.LoseAnnouncements(false)
	a.add(t, 1) // which does not continue what is known
	synctest.Wait()
	return b
}

// The store has announced everything, so only the manager knows that a refresh
// failed. It repeats the refresh.
func TestRefresh_RetriedAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLagging(t)
		advance(5 * time.Second)
		if len(b.seen.all()) != 0 {
			t.Errorf("notified of %q", b.seen.lines())
		}
		b.failing.Store(false)
		advance(time.Minute)
		wantContinuous(t, b.from, b.seen.all())
		if n := len(b.seen.all()); n != 2 {
			t.Errorf("notified of %d entries", n)
		}
		made := len(b.loadTimes())
		advance(time.Hour)
		if more := b.loadTimes()[made:]; len(more) != 0 {
			t.Errorf("it loads again: %v", more)
		}
	})
}

// A store that stays unavailable is not asked all the time.
func TestRefresh_BacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLagging(t)
		advance(time.Hour)
		loads := b.loadTimes()
		if n := len(loads); n < 60 || n > 200 {
			t.Errorf("%d loads in an hour", n)
		}
		for i := 1; i < len(loads); i++ {
			if loads[i]-loads[i-1] < time.Second {
				t.Fatalf("loads after %v and after %v", loads[i-1], loads[i])
			}
		}
	})
}

// After a refresh that succeeded the next outage begins with the short delay.
func TestRefresh_BackoffIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLagging(t)
		advance(10 * time.Minute)
		b.failing.Store(false)
		advance(time.Minute)
		b.failing.Store(true)
		b.process.SetReachable(false)
		b.process.SetReachable(true) // asks for a refresh
		synctest.Wait()
		made := len(b.loadTimes())
		advance(2 * time.Second)
		if n := len(b.loadTimes()) - made; n == 0 {
			t.Error("the second refresh is late")
		}
	})
}

func TestRefresh_RetriesEnd(t *testing.T) {
	for name, end := range map[string]func(b *lagging){
		"stop":  func(b *lagging) { b.stop() },
		"close": func(b *lagging) { b.manager.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newLagging(t)
				advance(10 * time.Second)
				end(b)
				made := len(b.loadTimes())
				advance(time.Hour)
				if n := len(b.loadTimes()) - made; n > 0 {
					t.Errorf("%d loads after the end", n)
				}
			})
		})
	}
}

// advance lets time pass, and waits for what comes of it. It must be called in a
// synctest bubble.
func advance(long time.Duration) {
	time.Sleep(long)
	synctest.Wait()
}
