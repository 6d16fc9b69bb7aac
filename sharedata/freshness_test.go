package sharedata_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestGetKnowsWhatOtherProcessesHaveDone(t *testing.T) {
	_, a, b := twoNodes(t)
	for range 3 {
		there := a.add(t, 1)
		if got := b.get(t); got.Cursor != there.Cursor || got.LastTransaction != there.Cursor {
			t.Errorf("it stands at %+v, want %s", got, there.Cursor)
		}
	}
	if err := a.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("%+v, %v", got, err)
	}
	created := createCounter(t, a.Manager, "counter", 7)
	if got := b.get(t); got.Cursor != created.Cursor {
		t.Errorf("it stands at %+v, want %s", got, created.Cursor)
	}
}

// The observers hear of what Get finds out, though Get does not wait for them.
func TestWhatGetFindsOutIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var all recorder
		snapshot := b.get(t)
		b.ObserveAll(&all)
		a.add(t, 1)
		a.add(t, 1)
		b.get(t)
		synctest.Wait()
		wantContinuous(t, snapshot, all.all())
		if got := all.lines(); len(got) != 2 {
			t.Errorf("told of %q", got)
		}
	})
}

func TestGetDoesNotAskTheStoreForWhatIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		_, stop := mustObserve(t, b.Manager, "counter", &recorder{})
		synctest.Wait()
		there := a.add(t, 1)
		synctest.Wait()
		if n := b.calls("Load", func() {
			for range 10 {
				if got := b.get(t); got.Cursor != there.Cursor {
					t.Errorf("it stands at %s, want %s", got.Cursor, there.Cursor)
				}
			}
		}); n != 0 {
			t.Errorf("%d calls of Load", n)
		}
		stop()
		b.process.LoseAnnouncements(true)
		there = a.add(t, 1)
		if got := b.get(t); got.Cursor != there.Cursor {
			t.Errorf("when it is no longer followed it stands at %s, want %s", got.Cursor, there.Cursor)
		}
	})
}

// A store that is no Follower has one manager, which knows everything.
func TestGetDoesNotAskAStoreOfItsOwn(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	m := newCounter(t, &sharedata.Options{Store: s}, 5)
	s.load = func(context.Context, string) (replay.Head, error) {
		t.Error("the store is asked")
		return replay.Head{}, errDisk
	}
	for range 3 {
		wantState(t, m, "counter", `{"value":5}`)
		if _, err := m.Refresh(t.Context(), "counter"); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsLoadedCanBeReadWhileTheStoreIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		createCounter(t, a.Manager, "not loaded", 0)
		createCounter(t, b.Manager, "followed", 0)
		mustObserve(t, b.Manager, "followed", &recorder{})
		b.process.SetReachable(false)
		a.add(t, 5)
		for _, id := range []string{"counter", "followed"} {
			wantState(t, b.Manager, id, `{"value":0}`)
			if _, err := b.Refresh(t.Context(), id); !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("refresh of %q: %v", id, err)
			}
			_, err := b.Propose(t.Context(), addition(id, 1, ""))
			wantStoreError(t, err, "append", id, replay.ErrUnavailable)
			if _, err := b.Update(t.Context(), id, 0); !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("update of %q: %v", id, err)
			}
		}
		_, err := b.Get(t.Context(), "not loaded")
		wantStoreError(t, err, "load", "not loaded", replay.ErrUnavailable)

		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		if string(snapshot.State) != `{"value":0}` {
			t.Errorf("observed at %s", snapshot.State)
		}
		b.process.SetReachable(true)
		synctest.Wait()
		wantContinuous(t, snapshot, seen.all())
		wantState(t, b.Manager, "counter", `{"value":5}`)
		if v := b.add(t, 1); v.Cursor.Revision != 3 || len(seen.all()) != 2 {
			t.Errorf("at %s, told of %q", v.Cursor, seen.lines())
		}
	})
}

// Refresh asks also for what is followed: its caller knows that there is more.
func TestRefreshKnowsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		b.process.LoseAnnouncements(true)
		for range 3 {
			there := a.add(t, 1)
			got, err := b.Refresh(t.Context(), "counter")
			if err != nil || got.Cursor != there.Cursor {
				t.Errorf("it stands at %s (%v), want %s", got.Cursor, err, there.Cursor)
			}
			if n := len(seen.all()); n == 0 || seen.all()[n-1].Cursor != there.Cursor {
				t.Errorf("when it returned, told of %q", seen.lines())
			}
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Refresh(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("%+v, %v", got, err)
		}
		events := seen.all()
		if n := len(events); n != 4 || events[3].Type != sharedata.EntryRemoved {
			t.Errorf("told of %q", seen.lines())
		}
		wantContinuous(t, snapshot, events[:3])
	})
}

// An observer may call Get. Nothing may be needed for that which waits for the
// observer.
func TestGetInsideAnyObserver(t *testing.T) {
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
				b.refresh(t) // another's, where nothing is followed
				synctest.Wait()
				want := []string{`{"value":1}`, `{"value":0}`, `{"value":2}`, `{"value":0}`}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

// A function may look at any ShareData, also its own, though nothing else can be
// judged before it returns.
func TestGetInsideAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		m := newNode(t, shared.Process(), nil)
		looks := sharedata.NewFunction("looks", func(ctx context.Context, c Counter, _ any) (Counter, error) {
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
		createCounter(t, m.Manager, "counter", 1, looks)
		createCounter(t, m.Manager, "other", 5)
		begin := time.Now()
		if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "looks"}); err != nil || !v.Accepted {
			t.Errorf("%+v, %v", v, err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// So may who is answered, whatever has become of the proposal.
func TestGetInsideDone(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			_, _, b := twoNodes(t)
			b.process.SetReachable(reachable)
			for range 3 { // the first append fails, the rest is not even tried
				answered := make(chan error, 1)
				b.Submit(t.Context(), addition("counter", 1, ""), func(sharedata.Verdict, error) {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					_, err := b.Get(ctx, "counter")
					answered <- err
				})
				if err := <-answered; err != nil {
					t.Errorf("reachable %v: %v", reachable, err)
				}
			}
		})
	}
}

// Others are not answered from memory because of it.
func TestGetWhileAFunctionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		g := newGate()
		if _, err := b.Ensure(t.Context(), "counter", nil, add, held("held", g)); err != nil {
			t.Fatal(err)
		}
		var got answers
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, got.done("held"))
		<-g.arrived
		v := a.add(t, 1)
		if at := b.get(t); at.Cursor != v.Cursor {
			t.Errorf("it stands at %+v, want %s", at, v.Cursor)
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

// Two observers that look at each other's ShareData, of which neither is
// followed, do not wait for each other.
func TestObserversThatLookAtEachOthersShareData(t *testing.T) {
	shared := sharedstore.New()
	m := newNode(t, shared.Process(), nil)
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		createCounter(t, m.Manager, id, 0)
	}
	told := make(chan struct{}, 1000)
	m.ObserveAll(sharedata.ObserverFunc(func([]sharedata.Event) {
		for _, id := range ids {
			if _, err := m.Get(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		told <- struct{}{}
	}))
	const each = 50
	for _, id := range ids {
		go func() {
			for range each {
				_, _ = m.Propose(context.Background(), addition(id, 1, ""))
			}
		}()
	}
	eventually(t, "the observers", func() bool { return len(told) == each*len(ids) })
}
