package sharedata_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestGet_SeesOtherProcesses(t *testing.T) {
	_, a, b := twoNodes(t)
	for range 3 {
		there := a.add(t, 1)
		if got := b.get(t); got.Cursor != there.Cursor || got.LastTransaction != there.Cursor {
			t.Errorf("it is at %+v, want %s", got, there.Cursor)
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
		t.Errorf("it is at %+v, want %s", got, created.Cursor)
	}
}

// Observers are notified of the entries that Get has read, though Get does not wait
// for them.
func TestGet_NotifiesObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var all recorder
		snapshot := b.get(t)
		synctest.Wait() // until b is idle: a Get during the reply to another one reads the store alone
		b.ObserveAll(&all)
		a.add(t, 1)
		a.add(t, 1)
		b.get(t)
		synctest.Wait()
		wantContinuous(t, snapshot, all.all())
		if got := all.lines(); len(got) != 2 {
			t.Errorf("notified of %q", got)
		}
	})
}

func TestGet_FollowedNeedsNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		_, stop := mustObserve(t, b.Manager, "counter", &recorder{})
		synctest.Wait()
		there := a.add(t, 1)
		synctest.Wait()
		if n := b.calls("Load", func() {
			for range 10 {
				if got := b.get(t); got.Cursor != there.Cursor {
					t.Errorf("it is at %s, want %s", got.Cursor, there.Cursor)
				}
			}
		}); n != 0 {
			t.Errorf("%d calls of Load", n)
		}
		stop()
		b.process.LoseAnnouncements(true)
		there = a.add(t, 1)
		if got := b.get(t); got.Cursor != there.Cursor {
			t.Errorf("when it is no longer followed it is at %s, want %s", got.Cursor, there.Cursor)
		}
	})
}

// A store that is no Follower is asked once: it has one manager.
func TestGet_OwnStoreIsNotAsked(t *testing.T) {
	s := &store{Store: newMemory(t, nil)}
	m := newCounter(t, &sharedata.Options{Store: s}, 5)
	s.load = func(context.Context, string, replay.Cursor) (replay.Head, error) {
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

// While the store is unavailable, a loaded ShareData can be read and observed.
// Everything else fails.
func TestGet_StoreUnavailable(t *testing.T) {
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
			t.Errorf("at %s, notified of %q", v.Cursor, seen.lines())
		}
	})
}

// Refresh asks the store also about a followed ShareData: its caller knows of a
// later position.
func TestRefresh_ReadsWhatIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		b.process.LoseAnnouncements(true)
		for range 3 {
			there := a.add(t, 1)
			got, err := b.Refresh(t.Context(), "counter")
			if err != nil || got.Cursor != there.Cursor {
				t.Errorf("it is at %s (%v), want %s", got.Cursor, err, there.Cursor)
			}
			if n := len(seen.all()); n == 0 || seen.all()[n-1].Cursor != there.Cursor {
				t.Errorf("when it returned, notified of %q", seen.lines())
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
			t.Errorf("notified of %q", seen.lines())
		}
		wantContinuous(t, snapshot, events[:3])
	})
}

// The history ends, or another one begins, between the load of its position and the
// reading of the entries.
func TestRefresh_HistoryEndsMeanwhile(t *testing.T) {
	for _, created := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shared := sharedstore.New()
			a := newNode(t, shared.Process(), nil)
			ensureCounter(t, a)
			b, s := newProxiedNode(t, shared)
			var all recorder
			ensureCounter(t, b)
			b.ObserveAll(&all)
			a.add(t, 1)
			s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
				s.read = nil
				if created {
					recreate(t, a, 50)
				} else if err := a.Remove(ctx, "counter"); err != nil {
					t.Error(err)
				}
				return b.process.Read(ctx, id, after, limit)
			}
			got, err := b.Refresh(t.Context(), "counter")
			switch {
			case created && (err != nil || got.Cursor != a.get(t).Cursor):
				t.Errorf("%+v, %v", got, err)
			case !created && !errors.Is(err, sharedata.ErrUnknownShareData):
				t.Errorf("%+v, %v", got, err)
			}
			wantOneReset(t, "the observer", all.all())
		})
	}
}
