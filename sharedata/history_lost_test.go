package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// A process that follows a history writes it back to an emptied store, in a new
// epoch.
func TestHistoryLost_Followed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		var log strings.Builder
		c := newNode(t, shared.Process(), &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ensureCounter(t, c)
		nodes := []node{a, b, c}
		recorders := make([]recorder, len(nodes))
		for i, n := range nodes {
			mustObserve(t, n.Manager, "counter", &recorders[i])
		}
		first, err := c.Propose(t.Context(), addition("counter", 5, "k"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		shared.Flush()
		c.process.Check()
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, first.Cursor.String()) {
			t.Errorf("the log says %s", text)
		}
		again, err := c.Propose(t.Context(), addition("counter", 5, "k"))
		wantRepeat(t, "a repeat of a proposal that the store has lost", first, again, err)
		a.add(t, 1)
		b.add(t, 1)
		synctest.Wait()
		wantRestarted(t, c, first.Cursor)
		for i, n := range nodes {
			events := recorders[i].all()
			if e := wantOneReset(t, fmt.Sprint("process ", i), events); e.Cursor.Revision != 1 || e.Cursor.Epoch <= first.Cursor.Epoch || string(e.State) != `{"value":5}` {
				t.Errorf("process %d was reset to %s with %s", i, e.Cursor, e.State)
			}
			if got := n.get(t); got.Cursor.Revision != 3 || string(got.State) != `{"value":7}` {
				t.Errorf("process %d is at %+v", i, got)
			}
		}
	})
}

// The verdicts that were kept over a loss belong to that ShareData, not to the next
// one by its id.
func TestHistoryLost_VerdictsEndByRemoval(t *testing.T) {
	for _, missed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shared, a, b := twoNodes(t)
			mustObserve(t, b.Manager, "counter", &recorder{})
			if _, err := b.Propose(t.Context(), addition("counter", 1, "k")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(time.Second)
			shared.Flush()
			b.process.Check()
			synctest.Wait()
			b.process.LoseAnnouncements(missed)
			a.refresh(t)
			recreate(t, a, 0)
			b.process.Check()
			synctest.Wait()
			if v, err := b.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate || !v.Accepted {
				t.Errorf("missed %v: %+v, %v", missed, v, err)
			}
			wantState(t, b.Manager, "counter", `{"value":1}`)
		})
	}
}

// Several processes notice the loss at once: one restarts the epoch and the others
// follow it.
func TestHistoryLost_RestartedOnce(t *testing.T) {
	shared := sharedstore.New()
	var nodes []node
	recorders := make([]recorder, 4)
	for i := range recorders {
		n := newNode(t, shared.Process(), nil)
		ensureCounter(t, n)
		mustObserve(t, n.Manager, "counter", &recorders[i])
		nodes = append(nodes, n)
	}
	for round := range 20 {
		nodes[round%4].add(t, 1)
		want := 2*round + 1
		for i := range nodes {
			eventually(t, "what was announced", func() bool { return len(recorders[i].all()) == want })
		}
		shared.Flush()
		for _, n := range nodes {
			go n.process.Check()
		}
		for i := range nodes {
			eventually(t, "the reset", func() bool { return len(recorders[i].all()) == want+1 })
			e, first := recorders[i].all()[want], recorders[0].all()[want]
			if !e.Reset || e.Cursor != first.Cursor || string(e.State) != fmt.Sprintf(`{"value":%d}`, round+1) {
				t.Fatalf("round %d: process %d was notified of %+v", round, i, e)
			}
		}
	}
}

// A cached position that is not followed may be old, so it is not written back.
func TestHistoryLost_NotFollowed(t *testing.T) {
	for name, notice := range map[string]func(b node) error{
		"refresh": func(b node) error { _, err := b.Refresh(context.Background(), "counter"); return err },
		"propose": func(b node) error { _, err := b.Propose(context.Background(), addition("counter", 1, "")); return err },
		"remove":  func(b node) error { return b.Remove(context.Background(), "counter") },
		"observe": func(b node) error { _, _, err := b.Observe(context.Background(), "counter", &recorder{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared, a, b := twoNodes(t)
				lost := a.add(t, 1).Cursor
				b.refresh(t)
				synctest.Wait()
				var all recorder
				b.ObserveAll(&all)
				time.Sleep(time.Second)
				shared.Flush()
				if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
					t.Errorf("get: %v", err)
				}
				if err := notice(b); !errors.Is(err, sharedata.ErrUnknownShareData) {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if got := all.lines(); !slices.Equal(got, []string{"reset removed -> "}) {
					t.Errorf("notified of %q", got)
				}
				if created := ensureCounter(t, b); created.Cursor.Epoch <= lost.Epoch || string(created.State) != `{"value":0}` {
					t.Errorf("created at %+v", created)
				}
				b.add(t, 1) // the functions of Ensure are still registered
			})
		})
	}
}

// A removal is no loss, also where its announcement was missed.
func TestHistoryLost_NotByRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		before, _ := mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		b.process.LoseAnnouncements(true)
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		b.process.Check()
		synctest.Wait()
		if got := seen.lines(); !slices.Equal(got, []string{"reset removed -> "}) {
			t.Errorf("notified of %q", got)
		}
		for _, n := range []node{a, b} {
			if got, err := n.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if created := ensureCounter(t, b); created.Cursor.Epoch <= before.Cursor.Epoch {
			t.Errorf("created at %s after %s", created.Cursor, before.Cursor)
		}
	})
}

// Another process may create the ShareData in the emptied store before anybody has
// noticed the loss.
func TestHistoryLost_CreatedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		var seen recorder
		mustObserve(t, b.Manager, "counter", &seen)
		a.add(t, 1)
		synctest.Wait()
		time.Sleep(time.Second)
		shared.Flush()
		b.process.SetReachable(false) // or it would restart the epoch first
		c := newNode(t, shared.Process(), nil)
		created := createCounter(t, c.Manager, "counter", 100)
		b.process.SetReachable(true)
		synctest.Wait()
		if e := wantOneReset(t, "the observer", seen.all()); e.Cursor != created.Cursor || string(e.State) != `{"value":100}` {
			t.Errorf("reset to %+v", e)
		}
		c.add(t, 1)
		b.add(t, 1)
		synctest.Wait()
		wantState(t, b.Manager, "counter", `{"value":102}`)
		wantHistory(t, b.Manager, "counter", "1 created", `2 add {"by":1} accepted`, `3 add {"by":1} accepted`)
	})
}

// While the store is unavailable, nothing is taken for lost.
func TestHistoryLost_NotWhileUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, _, b := twoNodes(t)
		var seen recorder
		before, _ := mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		b.process.SetReachable(false)
		time.Sleep(time.Second)
		shared.Flush()
		_, err := b.Propose(t.Context(), addition("counter", 1, ""))
		wantStoreError(t, err, "append", "counter", replay.ErrUnavailable)
		if got := b.get(t); got.Cursor != before.Cursor || len(seen.all()) != 0 {
			t.Errorf("it is at %+v, notified of %q", got, seen.lines())
		}
		b.process.SetReachable(true)
		synctest.Wait()
		if e := wantOneReset(t, "the observer", seen.all()); string(e.State) != `{"value":0}` || e.Cursor.Epoch <= before.Cursor.Epoch {
			t.Errorf("reset to %+v", e)
		}
		b.add(t, 1)
	})
}
