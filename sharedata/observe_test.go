package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/sharedata"
)

func mustObserve(t testing.TB, m *sharedata.Manager, id string, o sharedata.Observer) (sharedata.Snapshot, func()) {
	t.Helper()
	snapshot, stop, err := m.Observe(context.Background(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot, stop
}

func TestObserve_EveryEntryType(t *testing.T) {
	m := newCounter(t, nil, 1)
	mustAdd(t, m, "counter", 1)
	var seen recorder
	snapshot, _ := mustObserve(t, m, "counter", &seen)
	if string(snapshot.State) != `{"value":2}` || snapshot.Cursor.Revision != 2 || snapshot.LastTransaction != snapshot.Cursor {
		t.Errorf("it began at %+v", snapshot)
	}
	mustAdd(t, m, "counter", 1)
	_, _ = m.Propose(t.Context(), addition("counter", -9, ""))
	_, _ = m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"})
	if _, err := m.Update(t.Context(), "counter", Counter{7}); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	createCounter(t, m, "counter", 100)
	mustAdd(t, m, "counter", 1)
	want := []string{
		`3 add {"by":1} accepted -> {"value":3}`, `4 add {"by":-9} rejected -> {"value":3}`,
		`5 updated -> {"value":7}`, `6 removed -> `,
	}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of\n%q, want\n%q", got, want)
	}
	wantContinuous(t, snapshot, seen.all())
}

// Also where the ShareData is created again at once.
func TestObserve_EndsByRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		var seen, all recorder
		snapshot, _ := mustObserve(t, m, "counter", &seen)
		m.ObserveAll(&all)
		results := make(chan error)
		queue := func(call func() error) {
			go func() { results <- call() }()
			synctest.Wait()
		}
		queue(func() error {
			_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"})
			return err
		})
		queue(func() error { return m.Remove(t.Context(), "counter") })
		queue(func() error { _, err := m.Create(t.Context(), "counter", Counter{5}, add); return err })
		queue(func() error { _, err := m.Update(t.Context(), "counter", Counter{6}); return err })
		close(g.open)
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		wantContinuous(t, snapshot, seen.all())
		want := []string{`2 held null accepted -> {"value":0}`, `3 removed -> `}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("notified of %q, want %q", got, want)
		}
		want = append(want, `1 created -> {"value":5}`, `2 updated -> {"value":6}`)
		if got := all.lines(); !slices.Equal(got, want) {
			t.Errorf("the observer of every ShareData was notified of %q, want %q", got, want)
		}
		mustAdd(t, m, "counter", 1)
	})
}

// Events continue the snapshot without a gap or a repetition. The value after each
// add is one more than before, so a snapshot that does not belong to its position
// shows.
func TestObserve_JoinsSnapshot(t *testing.T) {
	const proposers, each, observers = 4, 60, 12
	m := newCounter(t, nil, 0)
	var wait sync.WaitGroup
	for range proposers {
		wait.Go(func() {
			for range each {
				mustAdd(t, m, "counter", 1)
			}
		})
	}
	type observed struct {
		snapshot sharedata.Snapshot
		recorder recorder
	}
	all := make([]observed, observers)
	for i := range all {
		wait.Go(func() {
			for mustGet(t, m, "counter").Cursor.Revision < uint64(1+i*proposers*each/observers) {
				mustAdd(t, m, "counter", 0)
			}
			all[i].snapshot, _ = mustObserve(t, m, "counter", &all[i].recorder)
		})
	}
	wait.Wait()
	last := mustGet(t, m, "counter")
	for i := range all {
		from, events := all[i].snapshot, all[i].recorder.all()
		wantContinuous(t, from, events)
		if want := last.Cursor.Revision - from.Cursor.Revision; uint64(len(events)) != want {
			t.Errorf("observer %d was notified of %d entries, not %d", i, len(events), want)
		}
		state, _ := sharedata.Decode[Counter](from.State)
		for _, e := range events {
			in, _ := sharedata.Decode[Add](e.Data)
			state.Value += in.By
			if got, _ := sharedata.Decode[Counter](e.State); got != state {
				t.Fatalf("observer %d: the state at %s is %+v, want %+v", i, e.Cursor, got, state)
			}
		}
	}
	wantState(t, m, "counter", fmt.Sprintf(`{"value":%d}`, proposers*each))
}

// Observers are notified before the proposer gets the verdict.
func TestObserve_BeforeReply(t *testing.T) {
	m := newCounter(t, nil, 0)
	var seen recorder
	mustObserve(t, m, "counter", &seen)
	var all recorder
	m.ObserveAll(&all)
	for i := range 50 {
		notified := make(chan [2]int)
		m.Submit(t.Context(), addition("counter", 1, ""), func(sharedata.Verdict, error) {
			count := [2]int{len(seen.all()), len(all.all())}
			go func() { notified <- count }()
		})
		if got := <-notified; got != [2]int{i + 1, i + 1} {
			t.Fatalf("when verdict %d came, the observers had been notified of %v", i+1, got)
		}
	}
}

func TestObserve_StopDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCounter(t, nil, 0)
		g := newGate()
		_, stop := mustObserve(t, m, "counter", sharedata.ObserverFunc(func([]sharedata.Event) { g.pass() }))
		done := make(chan error)
		go func() {
			_, err := m.Propose(t.Context(), addition("counter", 1, ""))
			done <- err
		}()
		<-g.arrived
		stop()
		close(g.open)
		if err := <-done; err != nil {
			t.Error(err)
		}
		mustAdd(t, m, "counter", 1)
		if len(g.arrived) != 0 {
			t.Error("notified after it was stopped")
		}
	})
}

// A panic in an observer is logged, and harms neither the commit nor other
// observers.
func TestObserve_Panic(t *testing.T) {
	var log strings.Builder
	m := newCounter(t, &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, 0)
	notified := 0
	panics := sharedata.ObserverFunc(func([]sharedata.Event) { notified++; panic("observer's cause") })
	mustObserve(t, m, "counter", panics)
	m.ObserveAll(panics)
	var after recorder
	mustObserve(t, m, "counter", &after)
	mustAdd(t, m, "counter", 1)
	mustAdd(t, m, "counter", 1)
	if notified != 4 || len(after.all()) != 2 {
		t.Errorf("notified %d times, the observer after it of %d", notified, len(after.all()))
	}
	if text := log.String(); !strings.Contains(text, "observer's cause") || !strings.Contains(text, "observe_test.go") {
		t.Errorf("the log has no cause and stack: %s", text)
	}
}

func TestObserveAll_FromCreation(t *testing.T) {
	const shareData, each = 8, 20
	m := newManager(t, nil)
	createCounter(t, m, "before", 0)
	var mu sync.Mutex
	events := make(map[string][]sharedata.Event)
	stop := m.ObserveAll(sharedata.ObserverFunc(func(received []sharedata.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range received {
			events[e.ShareDataID] = append(events[e.ShareDataID], e)
		}
	}))
	mustAdd(t, m, "before", 1)
	var wait sync.WaitGroup
	for i := range shareData {
		wait.Go(func() {
			id := fmt.Sprint(i)
			createCounter(t, m, id, 0)
			for range each {
				mustAdd(t, m, id, 1)
			}
			if err := m.Remove(context.Background(), id); err != nil {
				t.Error(err)
			}
			createCounter(t, m, id, 0)
		})
	}
	wait.Wait()
	stop()
	mustAdd(t, m, "before", 1)
	if got := events["before"]; len(got) != 1 || got[0].Revision() != 2 {
		t.Errorf("of what existed before: %+v", got)
	}
	for i := range shareData {
		id := fmt.Sprint(i)
		got := events[id]
		if len(got) != each+3 {
			t.Fatalf("%q: notified of %d entries", id, len(got))
		}
		first := sharedata.Snapshot{ID: id, Cursor: got[0].Cursor}
		if got[0].Type != sharedata.EntryCreated || got[0].Revision() != 1 {
			t.Errorf("%q: the first is %+v", id, got[0])
		}
		wantContinuous(t, first, got[1:each+2])
		if removed, created := got[each+1], got[each+2]; removed.Type != sharedata.EntryRemoved || created.Type != sharedata.EntryCreated || created.Cursor.Epoch <= removed.Cursor.Epoch {
			t.Errorf("%q: at the end %+v and %+v", id, removed, created)
		}
	}
}

func TestObserve_OneCallAtATime(t *testing.T) {
	m := newCounter(t, nil, 0)
	var inside, overlaps atomic.Int32
	o := sharedata.ObserverFunc(func([]sharedata.Event) {
		if inside.Add(1) != 1 {
			overlaps.Add(1)
		}
		inside.Add(-1)
	})
	mustObserve(t, m, "counter", o)
	m.ObserveAll(o)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 30 {
				mustAdd(t, m, "counter", 1)
			}
		})
	}
	wait.Wait()
	if n := overlaps.Load(); n != 0 {
		t.Errorf("%d calls overlapped", n)
	}
}

func TestObserve_NotFound(t *testing.T) {
	m := newCounter(t, nil, 0)
	if err := m.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"counter", "never"} {
		if _, stop, err := m.Observe(t.Context(), id, &recorder{}); !errors.Is(err, sharedata.ErrUnknownShareData) || stop != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// An observation that begins while the ShareData is removed and created again is of
// one incarnation, to its end.
func TestObserve_DuringRemoveAndCreate(t *testing.T) {
	m := newManager(t, nil)
	stopped := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stopped:
				return
			default:
			}
			createCounter(t, m, "counter", 0)
			mustAdd(t, m, "counter", 1)
			if err := m.Remove(context.Background(), "counter"); err != nil {
				t.Error(err)
			}
		}
	})
	recorders := make([]recorder, 100)
	for i := range recorders {
		ended := make(chan struct{}, 10)
		var snapshot sharedata.Snapshot
		err := sharedata.ErrUnknownShareData
		for errors.Is(err, sharedata.ErrUnknownShareData) {
			snapshot, _, err = m.Observe(t.Context(), "counter", sharedata.ObserverFunc(func(events []sharedata.Event) {
				recorders[i].Observe(events)
				if events[len(events)-1].Type == sharedata.EntryRemoved {
					ended <- struct{}{}
				}
			}))
		}
		if err != nil {
			t.Fatal(err)
		}
		<-ended
		events := recorders[i].all()
		wantContinuous(t, snapshot, events)
		if last := events[len(events)-1]; last.Type != sharedata.EntryRemoved || last.Revision() != 3 {
			t.Fatalf("it ended with %+v", last)
		}
	}
	close(stopped)
	wait.Wait()
	for i := range recorders {
		if events := recorders[i].all(); events[len(events)-1].Type != sharedata.EntryRemoved {
			t.Errorf("notified of %+v after the removal", events[len(events)-1])
		}
	}
}
