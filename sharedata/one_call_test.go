package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// wantCalls checks how often the methods of the store are called meanwhile.
func (n node) wantCalls(t *testing.T, what string, want map[string]int, meanwhile func()) {
	t.Helper()
	before := n.process.Calls()
	meanwhile()
	made := n.process.Calls()
	for method, times := range before {
		if made[method] -= times; made[method] == 0 {
			delete(made, method)
		}
	}
	if !maps.Equal(made, want) {
		t.Errorf("%s costs %v, want %v", what, made, want)
	}
}

func TestACommitIsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		once := map[string]int{"Append": 1}
		propose := func(n node, by int, key string, want sharedata.Verdict) {
			t.Helper()
			v, err := n.Propose(t.Context(), addition("counter", by, key))
			want.Cursor = v.Cursor
			if err != nil || !reflect.DeepEqual(v, want) {
				t.Errorf("%+v, %v, want %+v", v, err, want)
			}
		}
		accepted, rejected := sharedata.Verdict{Accepted: true}, sharedata.Verdict{Reason: "below zero"}
		repeat := sharedata.Verdict{Accepted: true, Duplicate: true}
		a.wantCalls(t, "a proposal", once, func() { propose(a, 1, "", accepted) })
		a.wantCalls(t, "a rejection", once, func() { propose(a, -9, "", rejected) })
		a.wantCalls(t, "a proposal with a key", once, func() { propose(a, 1, "k", accepted) })
		a.wantCalls(t, "an update", once, func() {
			if _, err := a.Update(t.Context(), "counter", Counter{}); err != nil {
				t.Error(err)
			}
		})
		a.wantCalls(t, "a repeat", once, func() { propose(a, 1, "k", repeat) })
		b.wantCalls(t, "a proposal after others' changes", map[string]int{"Append": 2}, func() { propose(b, 1, "", accepted) })
		b.wantCalls(t, "a repeat", once, func() { propose(b, 1, "k", repeat) })
		b.wantCalls(t, "a failure without a key", nil, func() {
			_, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"})
			if !errors.Is(err, errBroken) {
				t.Error(err)
			}
		})
		b.wantCalls(t, "a failure with a key", map[string]int{"Find": 1}, func() {
			_, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "new"})
			if !errors.Is(err, errBroken) {
				t.Error(err)
			}
		})
		b.wantCalls(t, "a repeat that would fail now", map[string]int{"Find": 1}, func() {
			v, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
			if err != nil || !v.Accepted || !v.Duplicate {
				t.Errorf("%+v, %v", v, err)
			}
		})
	})
}

func TestABatchIsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		n := newNode(t, shared.Process(), nil)
		g := newGate()
		createCounter(t, n.Manager, "counter", 0, held("held", g))
		if _, err := n.Propose(t.Context(), addition("counter", 1, "known")); err != nil {
			t.Fatal(err)
		}
		var a answers
		n.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{0}}, a.done("held"))
		<-g.arrived
		for i := range 50 {
			n.Submit(t.Context(), addition("counter", 1, fmt.Sprint("new-", i)), a.done("new"))
		}
		n.wantCalls(t, "what arrived while a function ran", map[string]int{"Append": 1}, func() {
			close(g.open)
			synctest.Wait()
		})
		if got := a.all(); len(got) != 51 {
			t.Errorf("%d of 51 were answered", len(got))
		}
		wantState(t, n.Manager, "counter", `{"value":51}`)
	})
}

// Keys that are known, that are new, and that repeat one of the same batch may
// come together: each gets the verdict that it would have got alone.
func TestABatchOfKnownAndNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		g := newGate()
		if _, err := b.Ensure(t.Context(), "counter", nil, add, broken, held("held", g)); err != nil {
			t.Fatal(err)
		}
		firsts := make(map[string]sharedata.Verdict)
		for i := range 10 { // at the other process, which b has not heard of
			key := fmt.Sprint("known-", i)
			v, err := a.Propose(t.Context(), addition("counter", i%3-1, key))
			if err != nil {
				t.Fatal(err)
			}
			firsts[key] = v
		}
		var got answers
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
			t.Errorf("%d of 51 were answered", n)
		}
		for _, answer := range got.all()[1:] {
			first, known := firsts[answer.name]
			switch {
			case answer.name == "failing":
				if !errors.Is(answer.err, errBroken) {
					t.Errorf("%+v", answer)
				}
			case known:
				wantRepeat(t, answer.name, first, answer.verdict, answer.err)
			case answer.err != nil || answer.verdict.Duplicate || !answer.verdict.Accepted:
				t.Errorf("%+v", answer)
			default:
				firsts[answer.name] = answer.verdict
			}
		}
		history := wholeHistory(t, b.Manager, "counter")
		if len(history) != 1+10+1+10 {
			t.Errorf("%d entries", len(history))
		}
	})
}

// flaky fails once it is told to.
func flaky(fail *bool) *sharedata.Function {
	return sharedata.NewRawFunction("flaky", func(_ context.Context, state, _ json.RawMessage) (json.RawMessage, error) {
		if *fail {
			return nil, errBroken
		}
		return state, nil
	})
}

// Also where the first one's verdict is not yet known here, and where the
// history has been trimmed since.
func TestARepeatGetsItsVerdictThoughTheFunctionFailsNow(t *testing.T) {
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
				t.Errorf("after the verdict it stands at %s", got)
			}
			if observed && len(seen.all()) != 1 {
				t.Errorf("after the verdict, told of %q", seen.lines())
			}
			p.IdempotencyKey = "another"
			if _, err := b.Propose(t.Context(), p); !errors.Is(err, errBroken) {
				t.Errorf("a new one: %v", err)
			}
		})
	}
}

// A store that does not bring along what was missed is read.
func TestAConflictWithoutWhatWasMissed(t *testing.T) {
	shared := sharedstore.New()
	a := newNode(t, shared.Process(), nil)
	ensureCounter(t, a)
	process := shared.Process()
	s := newProxy(process)
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		err := s.Store.Append(ctx, id, batch)
		if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
			conflict.Missed = nil
		}
		return err
	}
	b := newNode(t, process, &sharedata.Options{Store: s})
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
		t.Errorf("told of %d entries", n)
	}
}
