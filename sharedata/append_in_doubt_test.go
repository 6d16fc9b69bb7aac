package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// An append that failed may have taken effect. The store is asked at once, so that
// the proposer gets the verdict if there is one.
func TestInDoubt_ResolvedAtOnce(t *testing.T) {
	s := newFailingAppend(t)
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	var seen recorder
	snapshot, _ := mustObserve(t, m, "counter", &seen)
	s.lost = true
	first, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	if err != nil || !first.Accepted || first.Duplicate || first.Cursor.Revision != 2 {
		t.Errorf("%+v, %v", first, err)
	}
	if len(seen.all()) != 1 {
		t.Errorf("at the time of the reply, notified of %q", seen.lines())
	}
	again, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	wantRepeat(t, "the repeat", first, again, err)
	rejected, err := m.Propose(t.Context(), addition("counter", -9, ""))
	if err != nil || rejected.Accepted || rejected.Reason != "below zero" {
		t.Errorf("%+v, %v", rejected, err)
	}
	updated, err := m.Update(t.Context(), "counter", Counter{5})
	if err != nil || updated.Cursor.Revision != 4 || string(updated.State) != `{"value":5}` {
		t.Errorf("%+v, %v", updated, err)
	}
	s.lost = false
	mustAdd(t, m, "counter", 1)
	wantContinuous(t, snapshot, seen.all())
	want := []string{
		`2 add {"by":1} accepted -> {"value":1}`, `3 add {"by":-9} rejected -> {"value":1}`,
		`4 updated -> {"value":5}`, `5 add {"by":1} accepted -> {"value":6}`,
	}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
}

// Other processes may have added entries before the store is asked, also more than a
// page.
func TestInDoubt_BehindLaterEntries(t *testing.T) {
	for _, later := range []int{1, 300} {
		memory := newMemory(t, nil)
		a := newCounter(t, &sharedata.Options{Store: memory}, 0)
		s := &store{Store: memory}
		b := newManager(t, &sharedata.Options{Store: s})
		if _, err := b.Ensure(t.Context(), "counter", nil, add); err != nil {
			t.Fatal(err)
		}
		var seen recorder
		snapshot, _ := mustObserve(t, b, "counter", &seen)
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			s.append = nil
			if err := memory.Append(ctx, id, batch); err != nil {
				t.Error(err)
			}
			for range later {
				mustAdd(t, a, "counter", 1)
			}
			return errDisk
		}
		v, err := b.Propose(t.Context(), addition("counter", 100, ""))
		if err != nil || !v.Accepted || v.Cursor.Revision != 2 {
			t.Errorf("%+v, %v", v, err)
		}
		wantContinuous(t, snapshot, seen.all())
		if got := len(seen.all()); got != 1+later {
			t.Errorf("notified of %d entries, want %d", got, 1+later)
		}
	}
}

// The entry at the position of the failed append may be another process's.
func TestInDoubt_EntryOfAnotherProcess(t *testing.T) {
	for _, later := range []int{1, 2, 300} {
		memory := newMemory(t, nil)
		a := newCounter(t, &sharedata.Options{Store: memory}, 0)
		s := &store{Store: memory}
		b := newManager(t, &sharedata.Options{Store: s})
		if _, err := b.Ensure(t.Context(), "counter", nil, add); err != nil {
			t.Fatal(err)
		}
		s.append = func(context.Context, string, replay.Batch) error {
			s.append = nil
			for range later {
				mustAdd(t, a, "counter", 1)
			}
			return errDisk
		}
		_, err := b.Propose(t.Context(), addition("counter", 1, ""))
		wantStoreError(t, err, "append", "counter", errDisk)
		wantState(t, b, "counter", fmt.Sprintf(`{"value":%d}`, later))
	}
}

// Where the store cannot be asked either, the proposer gets an error, and the repeat
// gets the verdict.
func TestInDoubt_RepeatTakesEffectOnce(t *testing.T) {
	s := newFailingAppend(t)
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	var seen recorder
	snapshot, _ := mustObserve(t, m, "counter", &seen)
	s.lost, s.cut = true, true
	for range 2 { // the second is not even tried
		_, err := m.Propose(t.Context(), addition("counter", 1, "k"))
		if !errors.Is(err, sharedata.ErrStore) || !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
	}
	if len(seen.all()) != 0 {
		t.Errorf("before the outcome is known, notified of %q", seen.lines())
	}
	s.lost, s.cut = false, false
	v, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	if err != nil || !v.Accepted || !v.Duplicate || v.Cursor.Revision != 2 {
		t.Errorf("the repeat: %+v, %v", v, err)
	}
	if len(seen.all()) != 1 {
		t.Errorf("at the time of the reply to the repeat, notified of %+v", seen.all())
	}
	mustAdd(t, m, "counter", 1)
	wantContinuous(t, snapshot, seen.all())
	want := []string{`2 add {"by":1} accepted -> {"value":1}`, `3 add {"by":1} accepted -> {"value":2}`}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`, `3 add {"by":1} accepted`)
}

func TestInDoubt_ResolvedByNextChange(t *testing.T) {
	for name, next := range map[string]func(m *sharedata.Manager) error{
		"a proposal": func(m *sharedata.Manager) error {
			v, err := m.Propose(context.Background(), addition("counter", -5, ""))
			if err == nil && v.Cursor.Revision != 3 {
				err = fmt.Errorf("at %s", v.Cursor)
			}
			return err
		},
		"a proposal that fails": func(m *sharedata.Manager) error {
			_, err := m.Propose(context.Background(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"})
			if errors.Is(err, errBroken) {
				return nil
			}
			return err
		},
		"an update": func(m *sharedata.Manager) error {
			_, err := m.Update(context.Background(), "counter", Counter{3})
			return err
		},
		"a removal": func(m *sharedata.Manager) error { return m.Remove(context.Background(), "counter") },
		"a create": func(m *sharedata.Manager) error {
			_, err := m.Create(context.Background(), "counter", 0)
			if errors.Is(err, sharedata.ErrExists) {
				return nil
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFailingAppend(t)
			m := newCounter(t, &sharedata.Options{Store: s}, 0)
			var seen recorder
			snapshot, _ := mustObserve(t, m, "counter", &seen)
			s.lost, s.cut = true, true
			_, err := m.Propose(t.Context(), addition("counter", 1, ""))
			wantStoreError(t, err, "append", "counter", errDisk)
			s.lost, s.cut = false, false
			if err := next(m); err != nil {
				t.Error(err)
			}
			wantContinuous(t, snapshot, seen.all())
			if got := seen.lines(); len(got) == 0 || got[0] != `2 add {"by":1} accepted -> {"value":1}` {
				t.Errorf("notified of %q", got)
			}
		})
	}
}

func TestInDoubt_Create(t *testing.T) {
	for _, cut := range []bool{false, true} {
		s := newFailingAppend(t)
		m := newManager(t, &sharedata.Options{Store: s})
		s.lost = true
		if cut {
			if _, err := m.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
				t.Fatal(err)
			}
			load := s.load
			s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
				defer func() { s.cut = true }() // after the load that finds none
				return load(ctx, id, have)
			}
			_, err := m.Create(t.Context(), "counter", Counter{5}, add)
			wantStoreError(t, err, "append", "counter", errDisk)
			s.load, s.cut = load, false
		} else if got, err := m.Create(t.Context(), "counter", Counter{5}, add); err != nil || string(got.State) != `{"value":5}` {
			t.Errorf("created: %+v, %v", got, err)
		}
		s.lost = false
		if !cut {
			mustAdd(t, m, "counter", 1) // its functions are registered
		}
		if _, err := m.Create(t.Context(), "counter", Counter{9}, add); !errors.Is(err, sharedata.ErrExists) {
			t.Errorf("created again: %v", err)
		}
		if got, err := m.Ensure(t.Context(), "counter", Counter{9}, add); err != nil || string(got.State) == `{"value":9}` {
			t.Errorf("ensured: %+v, %v", got, err)
		}
		if cut {
			mustAdd(t, m, "counter", 1)
		}
		wantHistory(t, m, "counter", "1 created", `2 add {"by":1} accepted`)
	}
}

// Nothing is left of a removed history that could say who removed it, so the outcome
// stays unknown.
func TestInDoubt_Remove(t *testing.T) {
	s := newFailingAppend(t)
	m := newCounter(t, &sharedata.Options{Store: s}, 5)
	before := mustGet(t, m, "counter")
	var seen recorder
	mustObserve(t, m, "counter", &seen)
	s.lost = true
	wantStoreError(t, m.Remove(t.Context(), "counter"), "append", "counter", errDisk)
	s.lost = false
	if err := m.Remove(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("removed again: %v", err)
	}
	if got := seen.lines(); !slices.Equal(got, []string{"reset removed -> "}) {
		t.Errorf("notified of %q", got)
	}
	if again := createCounter(t, m, "counter", 1); again.Cursor.Epoch <= before.Cursor.Epoch {
		t.Errorf("created at %s after %s", again.Cursor, before.Cursor)
	}
}
