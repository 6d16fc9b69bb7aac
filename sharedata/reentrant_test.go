package sharedata_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

func TestObserve_StopInsideObserver(t *testing.T) {
	m := newCounter(t, nil, 0)
	var other recorder
	var stop func()
	notified := 0
	_, stop = mustObserve(t, m, "counter", sharedata.ObserverFunc(func([]sharedata.Event) {
		notified++
		stop()
		stop()
	}))
	mustObserve(t, m, "counter", &other)
	var stopAll func()
	notifiedAll := 0
	stopAll = m.ObserveAll(sharedata.ObserverFunc(func([]sharedata.Event) {
		notifiedAll++
		stopAll()
		stopAll()
	}))
	for range 3 {
		mustAdd(t, m, "counter", 1)
	}
	if notified != 1 || notifiedAll != 1 {
		t.Errorf("notified %d and %d times after being stopped at once", notified, notifiedAll)
	}
	if len(other.all()) != 3 {
		t.Errorf("another observer was notified of %d", len(other.all()))
	}
}

func TestObserve_StoppedByAnotherObserver(t *testing.T) {
	m := newCounter(t, nil, 0)
	var stops []func()
	var notified []string
	observe := func(name string) sharedata.ObserverFunc {
		return func([]sharedata.Event) {
			notified = append(notified, name)
			for _, stop := range stops {
				stop()
			}
		}
	}
	_, stopFirst := mustObserve(t, m, "counter", observe("first"))
	_, stopSecond := mustObserve(t, m, "counter", observe("second"))
	stops = []func(){stopFirst, stopSecond, m.ObserveAll(observe("everywhere"))}
	mustAdd(t, m, "counter", 1)
	mustAdd(t, m, "counter", 1)
	if !slices.Equal(notified, []string{"first"}) {
		t.Errorf("notified: %q, want only the first", notified)
	}
}

func TestSubmit_InsideObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCounter(t, nil, 0)
		var r replies
		mustObserve(t, m, "counter", sharedata.ObserverFunc(func(events []sharedata.Event) {
			if events[0].Revision() < 5 {
				m.Submit(t.Context(), addition("counter", 1, ""), r.done("inside"))
			}
		}))
		mustAdd(t, m, "counter", 1)
		synctest.Wait()
		for _, reply := range r.all() {
			if reply.err != nil || !reply.verdict.Accepted {
				t.Errorf("%+v", reply)
			}
		}
		wantState(t, m, "counter", `{"value":4}`)
	})
}

func TestGet_InsideObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCounter(t, nil, 0)
		createCounter(t, m, "other", 0)
		var got []string
		read := func(id string) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			snapshot, err := m.Get(ctx, id)
			switch {
			case errors.Is(err, sharedata.ErrUnknownShareData):
				got = append(got, id+" unknown")
			case err != nil:
				got = append(got, err.Error())
			default:
				got = append(got, id+" "+string(snapshot.State))
			}
		}
		mustObserve(t, m, "counter", sharedata.ObserverFunc(func(events []sharedata.Event) {
			read("counter")
			read("other")
		}))
		mustAdd(t, m, "counter", 1)
		if err := m.Remove(t.Context(), "counter"); err != nil {
			t.Error(err)
		}
		want := []string{`counter {"value":1}`, `other {"value":0}`, "counter unknown", `other {"value":0}`}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// An observer may call Get, which therefore waits for nothing that waits for the
// observer.
func TestGet_InsideObserverOfProcesses(t *testing.T) {
	for _, name := range []string{"its own", "of everything"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := twoNodes(t)
				createCounter(t, a.Manager, "other", 0)
				var got []string
				observer := sharedata.ObserverFunc(func(events []sharedata.Event) {
					for _, id := range []string{"counter", "other"} {
						snapshot, err := b.Get(t.Context(), id)
						if err != nil {
							t.Error(err)
						}
						got = append(got, string(snapshot.State))
					}
				})
				if name == "its own" {
					mustObserve(t, b.Manager, "counter", observer)
				} else {
					b.ObserveAll(observer)
				}
				b.add(t, 1) // its own change
				a.add(t, 1)
				b.refresh(t) // that of another process, where nothing is followed
				synctest.Wait()
				want := []string{`{"value":1}`, `{"value":0}`, `{"value":2}`, `{"value":0}`}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

// Observers that read each other's ShareData, none of which is followed, do not
// deadlock.
func TestGet_InsideObserversOfEachOther(t *testing.T) {
	shared := sharedstore.New()
	m := newNode(t, shared.Process(), nil)
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		createCounter(t, m.Manager, id, 0)
	}
	notified := make(chan struct{}, 1000)
	m.ObserveAll(sharedata.ObserverFunc(func([]sharedata.Event) {
		for _, id := range ids {
			if _, err := m.Get(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		notified <- struct{}{}
	}))
	const each = 50
	for _, id := range ids {
		go func() {
			for range each {
				_, _ = m.Propose(context.Background(), addition(id, 1, ""))
			}
		}()
	}
	eventually(t, "the observers", func() bool { return len(notified) == each*len(ids) })
}

// A function may read any ShareData, also its own, though nothing else is evaluated
// there before it returns.
func TestGet_InsideFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		m := newNode(t, shared.Process(), nil)
		reads := sharedata.NewFunction("reads", func(ctx context.Context, c Counter, _ any) (Counter, error) {
			own, err := m.Get(ctx, "counter")
			if err != nil {
				return c, err
			}
			other, err := m.Get(ctx, "other")
			if err == nil && (string(own.State) != `{"value":1}` || string(other.State) != `{"value":5}`) {
				t.Errorf("its own is %s, the other one %s", own.State, other.State)
			}
			return c, err
		})
		createCounter(t, m.Manager, "counter", 1, reads)
		createCounter(t, m.Manager, "other", 5)
		begin := time.Now()
		if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "reads"}); err != nil || !v.Accepted {
			t.Errorf("%+v, %v", v, err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A Get from elsewhere while a function runs reads the store, not only memory.
func TestGet_WhileFunctionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		g := newGate()
		if _, err := b.Ensure(t.Context(), "counter", nil, add, held("held", g)); err != nil {
			t.Fatal(err)
		}
		var got replies
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, got.done("held"))
		<-g.arrived
		v := a.add(t, 1)
		if at := b.get(t); at.Cursor != v.Cursor {
			t.Errorf("it is at %+v, want %s", at, v.Cursor)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if at, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("after the removal: %+v, %v", at, err)
		}
		close(g.open)
	})
}

// The done of Submit may call Get, whatever became of the proposal.
func TestGet_InsideDone(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			_, _, b := twoNodes(t)
			b.process.SetReachable(reachable)
			for range 3 { // the first append fails, the rest is not even tried
				replied := make(chan error, 1)
				b.Submit(t.Context(), addition("counter", 1, ""), func(sharedata.Verdict, error) {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					_, err := b.Get(ctx, "counter")
					replied <- err
				})
				if err := <-replied; err != nil {
					t.Errorf("reachable %v: %v", reachable, err)
				}
			}
		})
	}
}
