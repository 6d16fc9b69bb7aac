package sharedata_test

import (
	"context"
	"errors"
	"fmt"
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

// twoManagers share a store, in which "counter" is at 0. Both know it.
func twoManagers(t *testing.T, memory *replay.MemoryOptions) (a, b *sharedata.Manager) {
	t.Helper()
	s := newMemory(t, memory)
	a = newCounter(t, &sharedata.Options{Store: s}, 0)
	b = newManager(t, &sharedata.Options{Store: s})
	if _, err := b.Ensure(t.Context(), "counter", nil, add, broken); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// Several managers propose at once: each revision is decided once, and every
// observer is notified of the same entries.
func TestConflict_OneWinner(t *testing.T) {
	const managers, proposers, each = 3, 2, 25
	memory := newMemory(t, nil)
	all := make([]*sharedata.Manager, managers)
	recorders := make([]recorder, managers)
	snapshots := make([]sharedata.Snapshot, managers)
	for i := range all {
		all[i] = newManager(t, &sharedata.Options{Store: memory})
		if _, err := all[i].Ensure(t.Context(), "counter", Counter{}, add); err != nil {
			t.Fatal(err)
		}
		snapshots[i], _ = mustObserve(t, all[i], "counter", &recorders[i])
	}
	var mu sync.Mutex
	verdicts := make(map[replay.Cursor]int)
	var wait sync.WaitGroup
	for _, m := range all {
		for range proposers {
			wait.Go(func() {
				for range each {
					v := mustAdd(t, m, "counter", 1)
					mu.Lock()
					verdicts[v.Cursor]++
					mu.Unlock()
				}
			})
		}
	}
	wait.Wait()
	if len(verdicts) != managers*proposers*each {
		t.Errorf("%d proposals got %d positions", managers*proposers*each, len(verdicts))
	}
	for _, m := range all {
		mustAdd(t, m, "counter", 0) // so that it knows all entries
	}
	history := wholeHistory(t, all[0], "counter")
	if len(history) != managers*proposers*each+managers+1 {
		t.Errorf("%d entries", len(history))
	}
	wantState(t, all[managers-1], "counter", fmt.Sprintf(`{"value":%d}`, managers*proposers*each))
	for i := range all {
		events := recorders[i].all()
		wantContinuous(t, snapshots[i], events)
		if want := len(history) - (managers - 1 - i) - 1; len(events) != want {
			t.Errorf("the observer of manager %d was notified of %d entries, want %d", i, len(events), want)
		}
		for _, e := range events {
			if e.Hash != history[e.Revision()-1].Hash {
				t.Errorf("the observer of manager %d was notified of another entry at %s", i, e.Cursor)
			}
		}
	}
}

// After a conflict the function runs again, on the state that the other process
// left.
func TestConflict_RunsFunctionAgain(t *testing.T) {
	memory := newMemory(t, nil)
	a := newCounter(t, &sharedata.Options{Store: memory}, 5)
	s := &store{Store: memory}
	first := true
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		if first {
			first = false
			mustAdd(t, a, "counter", -4)
			if _, err := a.Update(ctx, "counter", Counter{2}); err != nil {
				t.Error(err)
			}
		}
		return memory.Append(ctx, id, batch)
	}
	b := newManager(t, &sharedata.Options{Store: s})
	first = false
	if _, err := b.Ensure(t.Context(), "counter", nil, add); err != nil {
		t.Fatal(err)
	}
	first = true
	var seen recorder
	snapshot, _ := mustObserve(t, b, "counter", &seen)
	v, err := b.Propose(t.Context(), addition("counter", -3, "k"))
	if err != nil || v.Accepted || v.Reason != "below zero" || v.Cursor.Revision != 4 {
		t.Errorf("got %+v, %v: 3 can be taken from 5, but not from 2", v, err)
	}
	wantContinuous(t, snapshot, seen.all())
	want := []string{
		`2 add {"by":-4} accepted -> {"value":1}`, `3 updated -> {"value":2}`, `4 add {"by":-3} rejected -> {"value":2}`,
	}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	if got := mustGet(t, b, "counter"); got.LastTransaction != v.Cursor || got.Cursor != v.Cursor {
		t.Errorf("b is at %+v", got)
	}
}

// Of several managers that create a ShareData at once, one succeeds and the others
// get ErrExists.
func TestConflict_Create(t *testing.T) {
	for range 20 {
		memory := newMemory(t, nil)
		var created, exists atomic.Int32
		var wait sync.WaitGroup
		for i := range 4 {
			m := newManager(t, &sharedata.Options{Store: memory})
			wait.Go(func() {
				snapshot, err := m.Create(context.Background(), "counter", Counter{i}, add)
				switch {
				case err == nil && string(snapshot.State) == fmt.Sprintf(`{"value":%d}`, i):
					created.Add(1)
				case errors.Is(err, sharedata.ErrExists):
					exists.Add(1)
				default:
					t.Errorf("%+v, %v", snapshot, err)
				}
				if got, err := m.Get(context.Background(), "counter"); err != nil || got.Cursor.Revision != 1 {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wait.Wait()
		if created.Load() != 1 || exists.Load() != 3 {
			t.Fatalf("%d creates succeeded, %d got ErrExists", created.Load(), exists.Load())
		}
	}
}

func TestConflict_RemovedElsewhere(t *testing.T) {
	a, b := twoManagers(t, nil)
	var seen, seenAll recorder
	mustObserve(t, b, "counter", &seen)
	b.ObserveAll(&seenAll)
	if err := a.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("got %v", err)
	}
	want := []string{"reset removed -> "}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	created := createCounter(t, b, "counter", 3)
	if events := seenAll.all(); len(events) != 2 || events[1].Type != sharedata.EntryCreated || events[1].Cursor != created.Cursor || events[0].Cursor.Epoch >= created.Cursor.Epoch {
		t.Errorf("notified of %+v", events)
	}
	if len(seen.all()) != 1 {
		t.Error("the observation continues after the removal")
	}
}

// A proposal that was made for the removed ShareData is refused where the store
// cannot be followed. Observers get a reset.
func TestConflict_CreatedAgainElsewhere(t *testing.T) {
	a, b := twoManagers(t, nil)
	var seen recorder
	mustObserve(t, b, "counter", &seen)
	if err := a.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	created := createCounter(t, a, "counter", 50)
	// b proposes to the ShareData that it knows, which was removed.
	if v, err := b.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("got %+v, %v, want ErrUnknownShareData for a proposal to the removed one", v, err)
	}
	if got := mustGet(t, b, "counter"); got.Cursor != created.Cursor || string(got.State) != `{"value":50}` {
		t.Errorf("b is at %+v", got)
	}
	if v, err := b.Propose(t.Context(), addition("counter", 1, "")); err != nil || !v.Accepted {
		t.Errorf("then: %+v, %v", v, err)
	}
	want := []string{`reset  -> {"value":50}`, `2 add {"by":1} accepted -> {"value":51}`}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	wantHistory(t, b, "counter", "1 created", `2 add {"by":1} accepted`)
}

// A manager that misses entries which the store has trimmed resets its observers.
func TestConflict_BehindRetention(t *testing.T) {
	a, b := twoManagers(t, &replay.MemoryOptions{MaxEntries: 5})
	var seen recorder
	mustObserve(t, b, "counter", &seen)
	for range 20 {
		mustAdd(t, a, "counter", 1)
	}
	v := mustAdd(t, b, "counter", 1)
	want := []string{`reset  -> {"value":20}`, `22 add {"by":1} accepted -> {"value":21}`}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	events := seen.all()
	if events[0].Cursor.Next() != v.Cursor {
		t.Errorf("reset to %s, then %s", events[0].Cursor, v.Cursor)
	}
	wantHistory(t, b, "counter", `18 add {"by":1} accepted`, `19 add {"by":1} accepted`,
		`20 add {"by":1} accepted`, `21 add {"by":1} accepted`, `22 add {"by":1} accepted`)
}

// A manager misses more entries than a conflict brings along, and more than a page.
// Its observers are notified of all.
func TestConflict_FarBehind(t *testing.T) {
	a, b := twoManagers(t, &replay.MemoryOptions{MaxEntries: -1})
	var seen recorder
	snapshot, _ := mustObserve(t, b, "counter", &seen)
	const n = 1300
	replied := make(chan error, n)
	for range n {
		a.Submit(t.Context(), addition("counter", 1, ""), func(_ sharedata.Verdict, err error) { replied <- err })
	}
	for range n {
		if err := <-replied; err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, b, "counter", 1)
	wantContinuous(t, snapshot, seen.all())
	if events := seen.all(); len(events) != n+1 {
		t.Errorf("notified of %d entries", len(events))
	}
	wantState(t, b, "counter", fmt.Sprintf(`{"value":%d}`, n+1))
}

// A store that always conflicts fails the proposal with ErrBusy after about
// StoreTimeout.
func TestConflict_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, nil)
		attempts := 0
		s := &store{Store: memory}
		m := newCounter(t, &sharedata.Options{Store: s, StoreTimeout: time.Minute}, 0)
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			attempts++
			return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: batch.Expect}
		}
		begin := time.Now()
		_, err := m.Propose(t.Context(), addition("counter", 1, ""))
		if !errors.Is(err, sharedata.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		if took := time.Since(begin); took > 2*time.Minute || took < time.Minute/2 || attempts > 10000 {
			t.Errorf("%d attempts in %v", attempts, took)
		}
		s.append = nil
		mustAdd(t, m, "counter", 1)
		wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`)
	})
}

// One manager removes and creates the ShareData all the time while another one
// proposes to it. Every verdict is one that the observers were notified of, and no
// revision is decided twice.
func TestConflict_RemoveAndCreateLoop(t *testing.T) {
	a, b := twoManagers(t, nil)
	var seen recorder
	b.ObserveAll(&seen)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = a.Remove(context.Background(), "counter")
			if _, err := a.Ensure(context.Background(), "counter", Counter{}, add); err != nil {
				t.Error(err)
			}
		}
	})
	accepted := make(map[replay.Cursor]bool)
	for len(accepted) < 100 {
		if _, err := b.Ensure(t.Context(), "counter", Counter{}, add); err != nil && !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Fatal(err)
		}
		v, err := b.Propose(t.Context(), addition("counter", 1, ""))
		switch {
		case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrUnknownFunction):
		case err != nil || !v.Accepted:
			t.Fatalf("%+v, %v", v, err)
		case accepted[v.Cursor]:
			t.Fatalf("two proposals at %s", v.Cursor)
		default:
			accepted[v.Cursor] = true
		}
	}
	close(stop)
	wait.Wait()
	var last sharedata.Event
	for _, e := range seen.all() {
		delete(accepted, e.Cursor)
		if !e.Reset && last.Type != "" && last.Type != sharedata.EntryRemoved && e.Cursor != last.Cursor.Next() {
			t.Fatalf("notified of %s after %s without a reset", e.Cursor, last.Cursor)
		}
		if e.Cursor.Epoch < last.Cursor.Epoch {
			t.Fatalf("notified of %s after %s", e.Cursor, last.Cursor)
		}
		last = e
	}
	if len(accepted) != 0 {
		t.Errorf("the observers were not notified of %d proposals that were accepted", len(accepted))
	}
}

// Where the conflict does not bring the missed entries along, they are read.
func TestConflict_WithoutMissedEntries(t *testing.T) {
	shared := sharedstore.New()
	a := newNode(t, shared.Process(), nil)
	ensureCounter(t, a)
	b, s := newProxiedNode(t, shared)
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		err := s.Store.Append(ctx, id, batch)
		if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
			conflict.Missed = nil
		}
		return err
	}
	ensureCounter(t, b)
	var all recorder
	b.ObserveAll(&all)
	snapshot := b.get(t)
	for range 300 {
		a.add(t, 1)
	}
	if v := b.add(t, 1); v.Cursor.Revision != 302 {
		t.Errorf("at %s", v.Cursor)
	}
	wantContinuous(t, snapshot, all.all())
	if n := len(all.all()); n != 301 {
		t.Errorf("notified of %d entries", n)
	}
}
