package sharedata_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// wantRestarted checks that the epoch of "counter" was restarted: its history begins in a
// later epoch than from, with an entry that continues it.
func wantRestarted(t *testing.T, n node, from replay.Cursor) {
	t.Helper()
	history := wholeHistory(t, n.Manager, "counter")
	if len(history) == 0 {
		t.Error("there is no history")
		return
	}
	first := history[0]
	if first.Type != sharedata.EntryCreated || first.Continues != from || first.Previous == (sharedata.Hash{}) || first.Cursor.Epoch <= from.Epoch {
		t.Errorf("it begins with %q at %s that continues %s (previous %s), want %s to be continued", first.Type, first.Cursor, first.Continues, first.Previous, from)
	}
}

// wantOneReset checks that one of the events is a reset, and returns it.
func wantOneReset(t *testing.T, what string, events []sharedata.Event) sharedata.Event {
	t.Helper()
	var resets []sharedata.Event
	for _, e := range events {
		if e.Reset {
			resets = append(resets, e)
		}
	}
	if len(resets) != 1 {
		t.Fatalf("%s got %d resets, want one", what, len(resets))
	}
	return resets[0]
}

// A check notices that the store has lost the newest entries. The rest continues in
// a new epoch.
func TestRestart_RolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		var log strings.Builder
		c := newNode(t, shared.Process(), &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		nodes := []node{a, b, c}
		recorders := make([]recorder, len(nodes))
		for i, n := range nodes {
			mustObserve(t, n.Manager, "counter", &recorders[i])
		}
		var kept sharedata.Snapshot
		for i := range 5 {
			a.add(t, 1)
			if i == 2 {
				kept = a.get(t)
			}
		}
		synctest.Wait()
		shared.Rollback("counter", kept.Cursor)
		c.process.Check()
		synctest.Wait()

		wantRestarted(t, c, kept.Cursor)
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "counter") || !strings.Contains(text, kept.Cursor.String()) {
			t.Errorf("the log says %s", text)
		}
		begin := c.get(t)
		if begin.Cursor.Revision != 1 || string(begin.State) != `{"value":3}` || begin.LastTransaction != (replay.Cursor{}) {
			t.Errorf("it is at %+v", begin)
		}
		for range 2 { // the first while the lost part is cached, the second without it
			b.add(t, 10)
		}
		a.add(t, 1)
		synctest.Wait()
		for i, n := range nodes {
			events := recorders[i].all()
			if e := wantOneReset(t, fmt.Sprint("process ", i), events); e.Cursor != begin.Cursor || string(e.State) != string(begin.State) || e.Type != "" {
				t.Errorf("process %d was reset to %+v, want %s", i, e, begin.Cursor)
			}
			wantContinuous(t, begin, events[len(events)-3:])
			if got := n.get(t); string(got.State) != `{"value":24}` || got.Cursor.Epoch != begin.Cursor.Epoch {
				t.Errorf("process %d is at %+v", i, got)
			}
		}
	})
}

// However many processes notice at once, the epoch is restarted once.
func TestRestart_Once(t *testing.T) {
	shared := sharedstore.New()
	var nodes []node
	recorders := make([]recorder, 5)
	for range recorders {
		n := newNode(t, shared.Process(), nil)
		ensureCounter(t, n)
		nodes = append(nodes, n)
	}
	for round := range 20 {
		var stops []func()
		for i, n := range nodes {
			recorders[i] = recorder{}
			_, stop := mustObserve(t, n.Manager, "counter", &recorders[i])
			stops = append(stops, stop)
		}
		before := nodes[0].get(t)
		for range 3 {
			nodes[0].add(t, 1)
		}
		for i := range nodes {
			eventually(t, "what was announced", func() bool { return len(recorders[i].all()) == 3 })
		}
		shared.Rollback("counter", before.Cursor)
		for _, n := range nodes {
			go n.process.Check()
		}
		for i := range nodes {
			eventually(t, "the reset", func() bool { return len(recorders[i].all()) == 4 })
			if e := recorders[i].all()[3]; !e.Reset || string(e.State) != string(before.State) || e.Cursor.Revision != 1 || e.Cursor != recorders[0].all()[3].Cursor {
				t.Fatalf("round %d: process %d was notified of %+v", round, i, e)
			}
		}
		wantRestarted(t, nodes[0], before.Cursor)
		for _, stop := range stops {
			stop()
		}
	}
}

// When the rollback is noticed, the store may hold other entries in place of the
// lost ones: fewer, as many, or more.
func TestRestart_OtherBranch(t *testing.T) {
	for name, notice := range map[string]func(t *testing.T, b node){
		"a refresh":   func(t *testing.T, b node) { b.refresh(t) },
		"a proposal":  func(t *testing.T, b node) { b.add(t, 1000) },
		"an update":   func(t *testing.T, b node) { _, _ = b.Update(t.Context(), "counter", Counter{}) },
		"an observer": func(t *testing.T, b node) { mustObserve(t, b.Manager, "counter", &recorder{}) },
		"a refresh whose reply is lost": func(t *testing.T, b node) {
			b.process.LoseReplies(1)
			_, _ = b.Refresh(t.Context(), "counter")
			b.refresh(t)
		},
	} {
		for length := 1; length <= 5; length++ { // 3 were lost
			t.Run(fmt.Sprint(name, " ", length), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shared, a, b := twoNodes(t)
					kept := a.get(t)
					for range 3 {
						a.add(t, 1)
					}
					lost, err := b.Refresh(t.Context(), "counter")
					if err != nil {
						t.Fatal(err)
					}
					var all recorder
					b.ObserveAll(&all)
					shared.Rollback("counter", kept.Cursor)
					c := newNode(t, shared.Process(), nil)
					ensureCounter(t, c)
					for range length {
						c.add(t, 10)
					}
					branch := c.get(t)
					notice(t, b)
					synctest.Wait()
					begin := wantOneReset(t, "the observer", all.all())
					if begin.Cursor.Epoch <= lost.Cursor.Epoch || string(begin.State) != string(branch.State) {
						t.Errorf("reset to %s with %s, want the state %s", begin.Cursor, begin.State, branch.State)
					}
					wantRestarted(t, b, branch.Cursor)
					if got, there := b.get(t), c.get(t); got.Cursor != there.Cursor || string(got.State) != string(there.State) {
						t.Errorf("it is at %+v, there at %+v", got, there)
					}
				})
			})
		}
	}
}

// Another branch is noticed by its announcements, also while it is shorter than what
// is known.
func TestRestart_OtherBranchAnnounced(t *testing.T) {
	for lost := 1; lost <= 5; lost++ {
		for length := 1; length <= lost+1; length++ {
			synctest.Test(t, func(t *testing.T) {
				shared, a, b := twoNodes(t)
				var seen recorder
				kept, _ := mustObserve(t, b.Manager, "counter", &seen)
				for range lost {
					a.add(t, 1)
				}
				synctest.Wait()
				shared.Rollback("counter", kept.Cursor)
				c := newNode(t, shared.Process(), nil)
				ensureCounter(t, c)
				for range length {
					c.add(t, 10)
				}
				synctest.Wait()
				e := wantOneReset(t, "the observer", seen.all())
				for _, n := range []node{b, c} {
					wantState(t, n.Manager, "counter", fmt.Sprintf(`{"value":%d}`, 10*length))
					if at := n.get(t).Cursor; at.Epoch != e.Cursor.Epoch || at.Epoch <= kept.Cursor.Epoch {
						t.Errorf("%d in place of %d: a process is at %s after a reset to %s", length, lost, at, e.Cursor)
					}
				}
				if got, there := b.get(t), c.get(t); got.Cursor != there.Cursor {
					t.Errorf("%d in place of %d: one process is at %s, the other at %s", length, lost, got.Cursor, there.Cursor)
				}
			})
		}
	}
}

// A backup may hold an incarnation that was removed.
func TestRestart_EarlierIncarnation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		a.add(t, 1)
		first := a.get(t)
		second := recreate(t, a, 50)
		var seen recorder
		mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		shared.Rollback("counter", first.Cursor)
		b.process.Check()
		synctest.Wait()
		e := wantOneReset(t, "the observer", seen.all())
		if e.Cursor.Epoch <= second.Cursor.Epoch || string(e.State) != `{"value":1}` {
			t.Errorf("reset to %s with %s", e.Cursor, e.State)
		}
		wantRestarted(t, b, first.Cursor)
		b.add(t, 1)
	})
}

func TestRestart_EpochsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		var seen recorder
		mustObserve(t, b.Manager, "counter", &seen)
		last := a.get(t).Cursor
		for i := range 30 {
			before := []node{a, b}[i%2].get(t)
			a.add(t, 1)
			b.add(t, 1)
			synctest.Wait()
			shared.Rollback("counter", before.Cursor)
			if now := []node{b, a}[i/2%2].add(t, 1).Cursor; now.Epoch <= last.Epoch {
				t.Fatalf("it continued at %s after %s", now, last)
			} else {
				last = now
			}
			synctest.Wait()
		}
		for i, e := range seen.all()[1:] {
			if before := seen.all()[i]; e.Cursor.Epoch < before.Cursor.Epoch || !e.Reset && e.Cursor != before.Cursor.Next() {
				t.Fatalf("notified of %s after %s, reset %v", e.Cursor, before.Cursor, e.Reset)
			}
		}
	})
}

// The epoch is restarted also where the store has one manager, which it does not notify.
func TestRestart_OwnStore(t *testing.T) {
	shared := sharedstore.New()
	s := &store{Store: shared.Process()} // not a Follower
	m := newCounter(t, &sharedata.Options{Store: s}, 0)
	var seen recorder
	kept, _ := mustObserve(t, m, "counter", &seen)
	mustAdd(t, m, "counter", 1)
	shared.Rollback("counter", kept.Cursor)
	mustAdd(t, m, "counter", 7)
	want := []string{`2 add {"by":1} accepted -> {"value":1}`, `reset  -> {"value":0}`, `2 add {"by":7} accepted -> {"value":7}`}
	if got := seen.lines(); !slices.Equal(got, want) {
		t.Errorf("notified of %q, want %q", got, want)
	}
	wantRestarted(t, node{Manager: m}, kept.Cursor)
}

// Another process restarts the epoch first.
func TestRestart_ByAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		a := newNode(t, shared.Process(), nil)
		kept := ensureCounter(t, a)
		b, s := newProxiedNode(t, shared)
		ensureCounter(t, b)
		a.add(t, 1)
		b.refresh(t)
		shared.Rollback("counter", kept.Cursor)
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			s.append = nil
			a.refresh(t)
			return b.process.Append(ctx, id, batch)
		}
		if got, there := b.refresh(t), a.get(t); got.Cursor != there.Cursor || got.Cursor.Epoch <= kept.Cursor.Epoch {
			t.Errorf("it is at %s, there at %s", got.Cursor, there.Cursor)
		}
		wantHistory(t, b.Manager, "counter", "1 created")
	})
}

// A history that may have lost entries continues in a later epoch before anybody is
// given one of its cursors again.
func TestLoad_RestartAfter(t *testing.T) {
	memory := newMemory(t, nil)
	before := createCounter(t, newManager(t, &sharedata.Options{Store: memory}), "counter", 3)
	const ahead = 1 << 62 // an epoch of a clock that was ahead
	s := &store{Store: memory}
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		head, err := memory.Load(ctx, id, have)
		if head.Cursor.Epoch == before.Cursor.Epoch {
			head.RestartAfter = ahead
		}
		return head, err
	}
	m := newManager(t, &sharedata.Options{Store: s})
	at := mustGet(t, m, "counter")
	if at.Cursor.Epoch <= ahead || at.Cursor.Revision != 1 || string(at.State) != `{"value":3}` {
		t.Errorf("at %s with %s after %s", at.Cursor, at.State, before.Cursor)
	}
	for e, err := range m.History(t.Context(), "counter", replay.Cursor{}) {
		if err != nil || e.Continues != before.Cursor {
			t.Errorf("entry %s continues %s, %v", e.Cursor, e.Continues, err)
		}
	}
}
