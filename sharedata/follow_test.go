package sharedata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// What another process appends reaches the observers without a call of the store.
func TestNotifications_OfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		for _, method := range []string{"Load", "Read", "Find", "Append"} {
			if n := b.calls(method, func() {
				a.add(t, 1)
				if v, err := a.Propose(t.Context(), addition("counter", -9, "")); err != nil || v.Accepted {
					t.Errorf("%+v, %v", v, err)
				}
				if _, err := a.Update(t.Context(), "counter", Counter{0}); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}); n != 0 {
				t.Errorf("%d calls of %s for what was announced", n, method)
			}
		}
		wantContinuous(t, snapshot, seen.all())
		once := []string{` add {"by":1} accepted -> {"value":1}`, ` add {"by":-9} rejected -> {"value":1}`, ` updated -> {"value":0}`}
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprint(i+2)+once[i%3])
		}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("notified of\n%q, want\n%q", got, want)
		}
		if got, there := b.get(t), a.get(t); got.Cursor != there.Cursor || got.LastTransaction != there.LastTransaction || string(got.State) != string(there.State) {
			t.Errorf("it is at %+v, there at %+v", got, there)
		}
		if v := b.add(t, 1); v.Cursor.Revision != 14 {
			t.Errorf("it continues at %s", v.Cursor)
		}
	})
}

// The store announces to a process also its own appends. Observers are notified of
// each once.
func TestNotifications_OfOwnAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var atA, atB recorder
		snapshot, _ := mustObserve(t, a.Manager, "counter", &atA)
		mustObserve(t, b.Manager, "counter", &atB)
		for i := range 20 {
			[]node{a, b}[i%2].add(t, 1)
		}
		synctest.Wait()
		for _, seen := range []*recorder{&atA, &atB} {
			wantContinuous(t, snapshot, seen.all())
			if n := len(seen.all()); n != 20 {
				t.Errorf("notified of %d entries", n)
			}
		}
	})
}

func TestNotifications_RemovedAndCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen, all, again recorder
		before, stop := mustObserve(t, b.Manager, "counter", &seen)
		b.ObserveAll(&all)
		synctest.Wait() // until the refresh that begins the following is over
		a.add(t, 1)
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("after the removal: %v", err)
		}
		created := createCounter(t, a.Manager, "counter", 5)
		a.add(t, 1)
		synctest.Wait()
		stop()
		wantContinuous(t, before, seen.all())
		want := []string{`2 add {"by":1} accepted -> {"value":1}`, `3 removed -> `}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("notified of %q, want %q", got, want)
		}
		if got := all.lines(); !slices.Equal(got, want) { // nothing is followed that nobody observes
			t.Errorf("the observer of every ShareData was notified of %q, want %q", got, want)
		}
		snapshot, _ := mustObserve(t, b.Manager, "counter", &again)
		if snapshot.Cursor != created.Cursor.Next() || string(snapshot.State) != `{"value":6}` {
			t.Errorf("observed again at %+v", snapshot)
		}
		a.add(t, 1)
		synctest.Wait()
		wantContinuous(t, snapshot, again.all())
		if len(again.all()) != 1 || len(seen.all()) != 2 {
			t.Errorf("notified of %q and %q", again.lines(), seen.lines())
		}
	})
}

// Observers that missed a removal and a creation get a reset, and are notified of
// what comes after it.
func TestNotifications_MissedRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		b.process.LoseAnnouncements(true)
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		created := createCounter(t, a.Manager, "counter", 5)
		b.process.LoseAnnouncements(false)
		b.process.Check()
		synctest.Wait()
		a.add(t, 1)
		synctest.Wait()
		want := []string{`reset  -> {"value":5}`, `2 add {"by":1} accepted -> {"value":6}`}
		if got := seen.lines(); !slices.Equal(got, want) || seen.all()[0].Cursor != created.Cursor {
			t.Errorf("notified of %q, want %q", got, want)
		}
	})
}

func TestNotifications_Missed(t *testing.T) {
	for _, n := range []int{1, 256, 700} { // a page is 256 entries
		for name, miss := range map[string]func(p *sharedstore.Process, meanwhile func()){
			"lost, then checked": func(p *sharedstore.Process, meanwhile func()) {
				p.LoseAnnouncements(true)
				meanwhile()
				p.LoseAnnouncements(false)
				p.Check()
			},
			"unavailable": func(p *sharedstore.Process, meanwhile func()) {
				p.SetReachable(false)
				meanwhile()
				p.SetReachable(true)
			},
		} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, a, b := twoNodes(t)
					var seen recorder
					snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
					a.add(t, 1)
					synctest.Wait()
					miss(b.process, func() {
						for range n {
							a.add(t, 1)
						}
						synctest.Wait()
						if len(seen.all()) != 1 {
							t.Errorf("notified of %d entries that were not announced", len(seen.all())-1)
						}
					})
					synctest.Wait()
					if got := len(seen.all()); got != n+1 {
						t.Errorf("notified of %d entries, want %d", got, n+1)
					}
					a.add(t, 1)
					synctest.Wait()
					wantContinuous(t, snapshot, seen.all())
					if got := len(seen.all()); got != n+2 {
						t.Errorf("notified of %d entries, want %d", got, n+2)
					}
				})
			})
		}
	}
}

// The next announcement shows that one was missed.
func TestNotifications_GapIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		for range 3 {
			b.process.LoseAnnouncements(true)
			a.add(t, 1)
			a.add(t, 1)
			b.process.LoseAnnouncements(false)
			a.add(t, 1)
			synctest.Wait()
		}
		wantContinuous(t, snapshot, seen.all())
		if got := len(seen.all()); got != 9 {
			t.Errorf("notified of %d entries, want 9", got)
		}
	})
}

// manualFollower is a store whose announcements the test makes.
type manualFollower struct {
	store
	announce func(entries []replay.Entry)
}

func (s *manualFollower) Follow(_ string, tell func(entries []replay.Entry)) (stop func()) {
	s.announce = tell
	return func() {}
}

// newManualFollower returns a process with "counter" and the manager of another one, which
// shares its store.
func newManualFollower(t *testing.T) (a node, b *sharedata.Manager, s *manualFollower) {
	shared := sharedstore.New()
	a = newNode(t, shared.Process(), nil)
	ensureCounter(t, a)
	s = &manualFollower{store: store{Store: shared.Process()}}
	return a, newManager(t, &sharedata.Options{Store: s}), s
}

// Announcements may come late, twice and out of order.
func TestNotifications_AnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(30) {
			random := rand.New(rand.NewPCG(seed, 1))
			a, b, s := newManualFollower(t)
			var seen recorder
			snapshot, _ := mustObserve(t, b, "counter", &seen)
			for range 30 {
				a.add(t, 1)
			}
			entries, err := s.Store.Read(t.Context(), "counter", snapshot.Cursor, 100)
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				first := random.IntN(len(entries))
				if random.IntN(10) == 0 {
					s.announce(nil)
				}
				s.announce(entries[first:min(first+random.IntN(4)+1, len(entries))])
				if random.IntN(4) == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			s.announce(entries[29:])
			synctest.Wait()
			wantContinuous(t, snapshot, seen.all())
			if got := len(seen.all()); got != 30 {
				t.Fatalf("seed %d: notified of %d entries, want 30", seed, got)
			}
		}
	})
}

// Where an announced entry does not continue the history, the store is read instead.
func TestNotifications_Invalid(t *testing.T) {
	for name, spoil := range map[string]func(e *replay.Entry){
		"no record": func(e *replay.Entry) { e.Data = []byte("garbage") },
		"no effect": func(e *replay.Entry) { e.Data = bytes.Replace(e.Data, []byte(`,"state":{"value":1}`), nil, 1) },
		"another effect": func(e *replay.Entry) {
			e.Data = bytes.Replace(e.Data, []byte(`"state":{"value":1}`), []byte(`"state":{"value":7}`), 1)
		},
		"another position": func(e *replay.Entry) { e.Cursor.Revision++ },
		"an unknown epoch": func(e *replay.Entry) { e.Cursor.Epoch++ },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, s := newManualFollower(t)
				var seen recorder
				snapshot, _ := mustObserve(t, b, "counter", &seen)
				a.add(t, 1)
				entries, err := s.Store.Read(t.Context(), "counter", snapshot.Cursor, 1)
				if err != nil {
					t.Fatal(err)
				}
				spoil(&entries[0])
				s.announce(entries)
				synctest.Wait()
				wantContinuous(t, snapshot, seen.all())
				if got := seen.lines(); !slices.Equal(got, []string{`2 add {"by":1} accepted -> {"value":1}`}) {
					t.Errorf("notified of %q", got)
				}
			})
		})
	}
}

// The store may notify while the manager is closed, and afterwards.
func TestNotifications_AfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, s := newManualFollower(t)
		var seen recorder
		mustObserve(t, b, "counter", &seen)
		a.add(t, 1)
		s.load = func(context.Context, string, replay.Cursor) (replay.Head, error) {
			t.Error("a closed manager asks the store")
			return replay.Head{}, errDisk
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s.announce(nil)
		synctest.Wait()
		if len(seen.all()) != 0 {
			t.Errorf("notified of %q", seen.lines())
		}
	})
}
