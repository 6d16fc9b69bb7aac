package sharedata_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
	"github.com/safe-go/safe/sharedata"
)

// behind is a process that observes "counter" and has missed an entry, and whose
// looks at the store fail as long as failing says.
type behind struct {
	store   *proxy
	process *replaytest.Process
	seen    recorder
	from    sharedata.Snapshot
	manager *sharedata.Manager
	stop    func()
	failing atomic.Bool

	mu    sync.Mutex
	looks []time.Duration // when it looked, since the test began
}

func (b *behind) made() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.looks)
}

func newBehind(t *testing.T) *behind {
	shared := replaytest.NewShared()
	a := newNode(t, shared.Process(), nil)
	ensureCounter(t, a)
	b := &behind{process: shared.Process()}
	t.Cleanup(func() { b.process.Close() })
	b.store = newProxy(b.process)
	b.manager = newManager(t, &sharedata.Options{Store: b.store})
	b.from, b.stop = mustObserve(t, b.manager, "counter", &b.seen)
	synctest.Wait()
	begin := time.Now()
	b.failing.Store(true)
	b.store.load = func(ctx context.Context, id string) (replay.Head, error) {
		b.mu.Lock()
		b.looks = append(b.looks, time.Since(begin))
		b.mu.Unlock()
		if b.failing.Load() {
			return replay.Head{}, replay.ErrUnavailable
		}
		return b.process.Load(ctx, id)
	}
	b.process.LoseAnnouncements(true)
	a.add(t, 1)
	b.process.LoseAnnouncements(false)
	a.add(t, 1) // which cannot be understood without the one before
	synctest.Wait()
	return b
}

// The store has announced everything, so only the manager knows that a refresh
// failed. It repeats the refresh.
func TestRefresh_RetriedAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBehind(t)
		pass(5 * time.Second)
		if len(b.seen.all()) != 0 {
			t.Errorf("told of %q", b.seen.lines())
		}
		b.failing.Store(false)
		pass(time.Minute)
		wantContinuous(t, b.from, b.seen.all())
		if n := len(b.seen.all()); n != 2 {
			t.Errorf("told of %d entries", n)
		}
		made := len(b.made())
		pass(time.Hour)
		if more := b.made()[made:]; len(more) != 0 {
			t.Errorf("it goes on to look: %v", more)
		}
	})
}

// A store that stays unavailable is not asked all the time.
func TestRefresh_BacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBehind(t)
		pass(time.Hour)
		looks := b.made()
		if n := len(looks); n < 60 || n > 200 {
			t.Errorf("%d looks in an hour", n)
		}
		for i := 1; i < len(looks); i++ {
			if looks[i]-looks[i-1] < time.Second {
				t.Fatalf("looks after %v and after %v", looks[i-1], looks[i])
			}
		}
	})
}

// After a refresh that succeeded the next outage begins with the short delay.
func TestRefresh_BackoffIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBehind(t)
		pass(10 * time.Minute)
		b.failing.Store(false)
		pass(time.Minute)
		b.failing.Store(true)
		b.process.SetReachable(false)
		b.process.SetReachable(true) // has it look
		synctest.Wait()
		made := len(b.made())
		pass(2 * time.Second)
		if n := len(b.made()) - made; n == 0 {
			t.Error("the second look comes late")
		}
	})
}

func TestRefresh_RetriesEnd(t *testing.T) {
	for name, end := range map[string]func(b *behind){
		"stop":  func(b *behind) { b.stop() },
		"close": func(b *behind) { b.manager.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBehind(t)
				pass(10 * time.Second)
				end(b)
				made := len(b.made())
				pass(time.Hour)
				if n := len(b.made()) - made; n > 0 {
					t.Errorf("%d looks after the end", n)
				}
			})
		})
	}
}

// pass lets time pass, and what it leads to end. It must be called in a synctest
// bubble.
func pass(long time.Duration) {
	time.Sleep(long)
	synctest.Wait()
}
