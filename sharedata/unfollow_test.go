package sharedata_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func wantFollowing(t *testing.T, p *sharedstore.Process, want ...string) {
	t.Helper()
	if got := p.Following(); !slices.Equal(got, want) {
		t.Errorf("it follows %q, want %q", got, want)
	}
}

func TestFollow_WhileObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		createCounter(t, a.Manager, "other", 0)
		var all, first, second recorder
		b.ObserveAll(&all)
		b.get(t)
		wantFollowing(t, b.process)
		_, stopFirst := mustObserve(t, b.Manager, "counter", &first)
		_, stopSecond := mustObserve(t, b.Manager, "counter", &second)
		_, stopOther := mustObserve(t, b.Manager, "other", &second)
		wantFollowing(t, b.process, "counter", "other")
		stopFirst()
		stopFirst()
		stopOther()
		wantFollowing(t, b.process, "counter")
		a.add(t, 1)
		synctest.Wait()
		stopSecond()
		wantFollowing(t, b.process)
		a.add(t, 1)
		synctest.Wait()
		if f, s := len(first.all()), len(second.all()); f != 0 || s != 1 {
			t.Errorf("notified of %d and %d entries, want none and one", f, s)
		}
		if got := all.lines(); !slices.Equal(got, []string{`2 add {"by":1} accepted -> {"value":1}`}) {
			t.Errorf("the observer of every ShareData was notified of %q", got)
		}
		snapshot, stop := mustObserve(t, b.Manager, "counter", &first)
		wantFollowing(t, b.process, "counter")
		a.add(t, 1)
		synctest.Wait()
		if snapshot.Cursor.Revision != 3 || len(first.all()) != 1 {
			t.Errorf("observed again at %s, notified of %q", snapshot.Cursor, first.lines())
		}
		stop()
	})
}

// An observer stops all observations, its own too. With the last one the following
// ends.
func TestFollow_EndsByStopInsideObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var stops []func()
		stopAll := sharedata.ObserverFunc(func([]sharedata.Event) {
			for _, stop := range stops {
				stop()
			}
		})
		for range 3 {
			_, stop := mustObserve(t, b.Manager, "counter", stopAll)
			stops = append(stops, stop)
		}
		synctest.Wait()
		wantFollowing(t, b.process, "counter")
		a.add(t, 1)
		synctest.Wait()
		wantFollowing(t, b.process)
	})
}

// stop does not wait for an observer that is being notified. The goroutine that
// notifies it ends the following.
func TestFollow_EndsByStopDuringNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		g := newGate()
		_, stop := mustObserve(t, b.Manager, "counter", sharedata.ObserverFunc(func([]sharedata.Event) { g.pass() }))
		a.add(t, 1)
		<-g.arrived
		stop()
		wantFollowing(t, b.process, "counter")
		close(g.open)
		synctest.Wait()
		wantFollowing(t, b.process)
	})
}

// Nothing is followed for an Observe whose context has ended.
func TestFollow_ObserveWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		a := newNode(t, shared.Process(), nil)
		ensureCounter(t, a)
		b, s := newProxiedNode(t, shared)
		g := newGate()
		s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			g.pass()
			return b.process.Load(ctx, id, have)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var seen recorder
		ended := make(chan error)
		go func() {
			_, _, err := b.Observe(ctx, "counter", &seen)
			ended <- err
		}()
		<-g.arrived
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(g.open)
		synctest.Wait()
		wantFollowing(t, b.process)
		a.add(t, 1)
		b.refresh(t)
		if len(seen.all()) != 0 {
			t.Errorf("notified of %q", seen.lines())
		}
	})
}

func TestFollow_EndsByRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		for i, remover := range []node{a, b} {
			ensureCounter(t, a)
			_, stop := mustObserve(t, b.Manager, "counter", &recorder{})
			wantFollowing(t, b.process, "counter")
			if err := remover.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if wantFollowing(t, b.process); t.Failed() {
				t.Fatalf("removed by process %d", i)
			}
			stop() // has no effect
		}
	})
}

func TestFollow_EndsByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		createCounter(t, a.Manager, "other", 0)
		var seen recorder
		_, stop := mustObserve(t, b.Manager, "counter", &seen)
		mustObserve(t, b.Manager, "other", &seen)
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		wantFollowing(t, b.process)
		a.add(t, 1)
		synctest.Wait()
		stop()
		wantFollowing(t, b.process)
		if len(seen.all()) != 0 {
			t.Errorf("notified of %q after Close", seen.lines())
		}
	})
}

// Observers come and go while another process adds, removes and creates. In the end
// exactly what is observed is followed.
func TestFollow_Concurrent(t *testing.T) {
	_, a, b := twoNodes(t)
	var wait sync.WaitGroup
	done := make(chan struct{})
	wait.Go(func() {
		defer close(done)
		for i := range 150 {
			a.add(t, 1)
			if i%10 == 9 {
				if err := a.Remove(t.Context(), "counter"); err != nil {
					t.Error(err)
				}
				ensureCounter(t, a)
			}
		}
	})
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, stop, err := b.Observe(t.Context(), "counter", &recorder{}); err == nil {
					stop()
				}
			}
		})
	}
	wait.Wait()
	eventually(t, "nothing to be followed", func() bool { return len(b.process.Following()) == 0 })
	var seen recorder
	snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
	wantFollowing(t, b.process, "counter")
	a.add(t, 1)
	eventually(t, "the observer to be notified", func() bool { return len(seen.all()) == 1 })
	wantContinuous(t, snapshot, seen.all())
}
