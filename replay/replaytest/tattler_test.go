package replaytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
)

// tattler is a Process of which some methods are replaced.
type tattler struct {
	*sharedstore.Process
	shared   *sharedstore.Medium
	onAppend func(ctx context.Context, id string, batch replay.Batch) error
	onFollow func(id string, tell func([]replay.Entry)) (stop func())
	onClose  func() error
	closed   chan struct{} // for faults that must end with the test
	close    func()
	wait     sync.WaitGroup // for what the faults start
}

func newTattler(shared *sharedstore.Medium, f fault) *tattler {
	l := &tattler{Process: shared.Process(), shared: shared, closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	if f.following != nil {
		f.following(l)
	}
	return l
}

func (l *tattler) Append(ctx context.Context, id string, batch replay.Batch) error {
	if l.onAppend != nil {
		return l.onAppend(ctx, id, batch)
	}
	return l.Process.Append(ctx, id, batch)
}

func (l *tattler) Follow(id string, tell func([]replay.Entry)) (stop func()) {
	if l.onFollow != nil {
		return l.onFollow(id, tell)
	}
	return l.Process.Follow(id, tell)
}

func (l *tattler) Close() error {
	if l.onClose != nil {
		return l.onClose()
	}
	l.close()
	defer l.wait.Wait()
	return l.Process.Close()
}

// tells makes the store tell otherwise than it should.
func (l *tattler) tells(otherwise func(id string, entries []replay.Entry, tell func([]replay.Entry))) {
	l.onFollow = func(id string, tell func([]replay.Entry)) (stop func()) {
		return l.Process.Follow(id, func(entries []replay.Entry) { otherwise(id, entries, tell) })
	}
}

// followingHarness returns a harness of Processes with a fault.
func followingHarness(f fault) Harness {
	harness := Harness{
		Open: func(t testing.TB) replay.Store {
			l := newTattler(sharedstore.New(), f)
			t.Cleanup(func() { // also where the fault is that Close does not
				l.close()
				l.Process.Close()
				l.wait.Wait()
			})
			return l
		},
		Second: func(_ testing.TB, store replay.Store) replay.Store {
			return newTattler(store.(*tattler).shared, f)
		},
		Seed: 1,
	}
	if f.following != nil {
		harness.Patience = 300 * time.Millisecond
	}
	return harness
}
