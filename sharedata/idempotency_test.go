package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// wantRepeat checks that a verdict repeats the first one.
func wantRepeat(t *testing.T, what string, first, got sharedata.Verdict, err error) {
	t.Helper()
	first.Duplicate = true
	if err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("%s: got %+v, %v, want %+v", what, got, err, first)
	}
}

func TestIdempotency_RepeatsVerdict(t *testing.T) {
	memory := newMemory(t, nil)
	m := newCounter(t, &sharedata.Options{Store: memory}, 0)
	first, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	if err != nil || !first.Accepted || first.Duplicate {
		t.Fatal(first, err)
	}
	mustAdd(t, m, "counter", 1)

	again, err := m.Propose(t.Context(), addition("counter", 1, "k"))
	wantRepeat(t, "the same", first, again, err)
	other, err := m.Propose(t.Context(), addition("counter", 50, "k"))
	wantRepeat(t, "other data", first, other, err)
	failing, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
	wantRepeat(t, "another function", first, failing, err)

	restarted := newManager(t, &sharedata.Options{Store: memory})
	if _, err := restarted.Ensure(t.Context(), "counter", nil, add); err != nil {
		t.Fatal(err)
	}
	after, err := restarted.Propose(t.Context(), addition("counter", 1, "k"))
	wantRepeat(t, "after a restart", first, after, err)
	wantState(t, restarted, "counter", `{"value":2}`)
}

func TestIdempotency_RepeatsRejection(t *testing.T) {
	m := newCounter(t, nil, 0)
	first, err := m.Propose(t.Context(), addition("counter", -5, "k"))
	if err != nil || first.Accepted || first.Reason != "below zero" {
		t.Fatal(first, err)
	}
	mustAdd(t, m, "counter", 10) // now it would be accepted
	again, err := m.Propose(t.Context(), addition("counter", -5, "k"))
	wantRepeat(t, "a rejection", first, again, err)
	wantState(t, m, "counter", `{"value":10}`)
}

func TestIdempotency_FailureIsNotKept(t *testing.T) {
	m := newCounter(t, nil, 0)
	for range 2 {
		_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
		if !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
	}
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Accepted || v.Duplicate {
		t.Errorf("after failures: %+v, %v", v, err)
	}
}

func TestIdempotency_Concurrent(t *testing.T) {
	const keys, repeats = 5, 12
	m := newCounter(t, nil, 0)
	var firsts [keys]atomic.Int32
	var verdicts [keys]sync.Map
	var wait sync.WaitGroup
	for i := range keys * repeats {
		wait.Go(func() {
			key := i % keys
			v, err := m.Propose(context.Background(), addition("counter", 1, fmt.Sprint("key-", key)))
			if err != nil || !v.Accepted {
				t.Errorf("%+v, %v", v, err)
			}
			if !v.Duplicate {
				firsts[key].Add(1)
			}
			verdicts[key].Store(v.Cursor, true)
		})
	}
	wait.Wait()
	for key := range keys {
		cursors := 0
		verdicts[key].Range(func(any, any) bool { cursors++; return true })
		if firsts[key].Load() != 1 || cursors != 1 {
			t.Errorf("key %d: %d first verdicts, %d cursors", key, firsts[key].Load(), cursors)
		}
	}
	wantState(t, m, "counter", fmt.Sprintf(`{"value":%d}`, keys))
}

func TestIdempotency_WithinBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		var r replies
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, r.done("held"))
		<-g.arrived
		for _, p := range []sharedata.Proposal{
			addition("counter", 1, "a"), addition("counter", 1, "a"), addition("counter", -9, "b"), addition("counter", 1, "a"), addition("counter", -9, "b"),
		} {
			m.Submit(t.Context(), p, r.done(p.IdempotencyKey))
		}
		close(g.open)
		synctest.Wait()
		first := make(map[string]sharedata.Verdict)
		for _, reply := range r.all() {
			if v, repeated := first[reply.name]; repeated {
				wantRepeat(t, reply.name, v, reply.verdict, reply.err)
			} else if reply.err != nil || reply.verdict.Duplicate {
				t.Errorf("%+v", reply)
			}
			if !reply.verdict.Duplicate {
				first[reply.name] = reply.verdict
			}
		}
		wantHistory(t, m, "counter", "1 created", "2 held null accepted", `3 add {"by":1} accepted`, `4 add {"by":-9} rejected`)
	})
}

// A key is a caller's own: nobody learns of another caller's verdict, or is kept
// from one, by using the same key.
func TestIdempotency_BySubject(t *testing.T) {
	m := newCounter(t, nil, 0)
	n := 0
	for _, caller := range []struct{ subject, key string }{
		{"", "k"}, {"ann", "k"}, {"bob", "k"}, {"annk", ""}, {"an", "nk"}, {"ann", "bk"}, {"annb", "k"},
		{"1:a", "k"}, {"", "1:ak"}, {"", "3:annk"}, {"\x00", "k"}, {"", "\x00k"},
	} {
		for i := range 2 {
			p := addition("counter", 1, caller.key)
			p.Caller = &sharedata.Caller{Subject: caller.subject}
			v, err := m.Propose(t.Context(), p)
			if err != nil || !v.Accepted || v.Duplicate != (i == 1 && caller.key != "") {
				t.Errorf("%q with the key %q, time %d: %+v, %v", caller.subject, caller.key, i+1, v, err)
			}
			if !v.Duplicate {
				n++
			}
		}
	}
	// No caller is the caller without a name.
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Duplicate {
		t.Errorf("%+v, %v", v, err)
	}
	wantState(t, m, "counter", fmt.Sprintf(`{"value":%d}`, n))
}

// Two issuers may know different callers by one subject.
func TestIdempotency_ByIssuer(t *testing.T) {
	m := newCounter(t, nil, 0)
	for _, caller := range []sharedata.Caller{
		{Subject: "ann"}, {Issuer: "a", Subject: "ann"}, {Issuer: "b", Subject: "ann"}, {Issuer: "a3:ann"}, {Subject: "@1:a3:ann"},
	} {
		for i := range 2 {
			p := addition("counter", 1, "k")
			p.Caller = &caller
			v, err := m.Propose(t.Context(), p)
			if err != nil || !v.Accepted || v.Duplicate != (i == 1) {
				t.Errorf("%+v, time %d: %+v, %v", caller, i+1, v, err)
			}
		}
	}
	wantState(t, m, "counter", `{"value":5}`)
}

func TestIdempotency_ByShareData(t *testing.T) {
	m := newCounter(t, nil, 0)
	createCounter(t, m, "other", 0)
	for _, id := range []string{"counter", "other"} {
		if v, err := m.Propose(t.Context(), addition(id, 1, "k")); err != nil || v.Duplicate {
			t.Errorf("%q: %+v, %v", id, v, err)
		}
	}
}

func TestIdempotency_TrimmedTransaction(t *testing.T) {
	m := newCounter(t, &sharedata.Options{Store: newMemory(t, &replay.MemoryOptions{MaxEntries: 3})}, 0)
	for i, want := range []bool{false, true} { // whether it is a repeat
		if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate != want {
			t.Errorf("time %d: %+v, %v", i+1, v, err)
		}
	}
	mustAdd(t, m, "counter", 0)
	mustAdd(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || !v.Duplicate {
		t.Errorf("while it is kept: %+v, %v", v, err)
	}
	mustAdd(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate {
		t.Errorf("when it is no longer kept: %+v, %v", v, err)
	}
}

func TestIdempotency_RemovedShareData(t *testing.T) {
	m := newCounter(t, nil, 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate {
		t.Fatal(v, err)
	}
	if err := m.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Propose(t.Context(), addition("counter", 1, "k")); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("while it is removed: %v", err)
	}
	createCounter(t, m, "counter", 0)
	if v, err := m.Propose(t.Context(), addition("counter", 1, "k")); err != nil || v.Duplicate || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
}

// Repeats at several managers take effect once.
func TestIdempotency_AcrossManagers(t *testing.T) {
	a, b := twoManagers(t, nil)
	var wait sync.WaitGroup
	var firsts atomic.Int32
	for i := range 40 {
		m := []*sharedata.Manager{a, b}[i%2]
		wait.Go(func() {
			v, err := m.Propose(context.Background(), addition("counter", 1, fmt.Sprint("key-", i/8)))
			if err != nil || !v.Accepted {
				t.Errorf("%+v, %v", v, err)
			}
			if !v.Duplicate {
				firsts.Add(1)
			}
		})
	}
	wait.Wait()
	if n := firsts.Load(); n != 5 {
		t.Errorf("%d first verdicts of 5 keys", n)
	}
	mustAdd(t, a, "counter", 0)
	wantState(t, a, "counter", `{"value":5}`)
}

// A proposer who gets the verdict that another process reached can see its effect,
// and the observers were notified of it.
func TestIdempotency_EffectBeforeReply(t *testing.T) {
	for _, again := range []bool{false, true} {
		a, b := twoManagers(t, nil)
		var seen recorder
		mustObserve(t, b, "counter", &seen)
		if again {
			if err := a.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			createCounter(t, a, "counter", 0)
		}
		first, err := a.Propose(t.Context(), addition("counter", 1, "k"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Propose(t.Context(), addition("counter", 1, "k"))
		wantRepeat(t, "at the other manager", first, got, err)
		if at := mustGet(t, b, "counter"); at.Cursor != first.Cursor || string(at.State) != `{"value":1}` {
			t.Errorf("after the verdict at %s it is at %+v", got.Cursor, at)
		}
		events := seen.all()
		if len(events) != 1 || events[0].Cursor != first.Cursor || events[0].Reset != again {
			t.Errorf("after the verdict the observers were notified of %+v", events)
		}
	}
}

// A batch may hold keys that are known, new, and repeated within it: each proposal
// gets the verdict that it would have got alone.
func TestIdempotency_KnownAndNewKeysInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		g := newGate()
		if _, err := b.Ensure(t.Context(), "counter", nil, add, broken, held("held", g)); err != nil {
			t.Fatal(err)
		}
		firsts := make(map[string]sharedata.Verdict)
		for i := range 10 { // at the other process, before b knows of them
			key := fmt.Sprint("known-", i)
			v, err := a.Propose(t.Context(), addition("counter", i%3-1, key))
			if err != nil {
				t.Fatal(err)
			}
			firsts[key] = v
		}
		var got replies
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{0}}, got.done("held"))
		<-g.arrived
		for i := range 10 {
			for _, key := range []string{"known-", "new-", "new-"} {
				key += fmt.Sprint(i)
				b.Submit(t.Context(), addition("counter", 1, key), got.done(key))
			}
			key := fmt.Sprint("known-", i)
			b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: key}, got.done(key))
			b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "failing-" + key}, got.done("failing"))
		}
		close(g.open)
		synctest.Wait()
		if n := len(got.all()); n != 51 {
			t.Errorf("%d of 51 replies", n)
		}
		for _, reply := range got.all()[1:] {
			first, known := firsts[reply.name]
			switch {
			case reply.name == "failing":
				if !errors.Is(reply.err, errBroken) {
					t.Errorf("%+v", reply)
				}
			case known:
				wantRepeat(t, reply.name, first, reply.verdict, reply.err)
			case reply.err != nil || reply.verdict.Duplicate || !reply.verdict.Accepted:
				t.Errorf("%+v", reply)
			default:
				firsts[reply.name] = reply.verdict
			}
		}
		history := wholeHistory(t, b.Manager, "counter")
		if len(history) != 1+10+1+10 {
			t.Errorf("%d entries", len(history))
		}
	})
}

// flaky is a function that fails while *fail is set.
func flaky(fail *bool) *sharedata.Function {
	return sharedata.NewRawFunction("flaky", func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		if *fail {
			return nil, errBroken
		}
		return state, nil
	})
}

// A repeat gets the first verdict though its function would fail now, also where the
// first entry is not known here yet.
func TestIdempotency_FunctionFailsNow(t *testing.T) {
	for _, observed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := twoNodes(t)
			var fail bool
			for _, n := range []node{a, b} {
				if _, err := n.Ensure(t.Context(), "counter", nil, add, flaky(&fail)); err != nil {
					t.Fatal(err)
				}
			}
			var seen recorder
			if observed {
				mustObserve(t, b.Manager, "counter", &seen)
				b.process.LoseAnnouncements(true)
			}
			p := sharedata.Proposal{ShareDataID: "counter", FunctionID: "flaky", IdempotencyKey: "k"}
			first, err := a.Propose(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			fail = true
			for range 2 {
				again, err := b.Propose(t.Context(), p)
				wantRepeat(t, "at the other process", first, again, err)
			}
			if got := mustGet(t, b.Manager, "counter").Cursor; got != first.Cursor {
				t.Errorf("after the verdict it is at %s", got)
			}
			if observed && len(seen.all()) != 1 {
				t.Errorf("after the verdict, notified of %q", seen.lines())
			}
			p.IdempotencyKey = "another"
			if _, err := b.Propose(t.Context(), p); !errors.Is(err, errBroken) {
				t.Errorf("a new one: %v", err)
			}
		})
	}
}
