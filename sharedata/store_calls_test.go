package sharedata_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

// wantCalls checks how often the process calls the methods of the store meanwhile.
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

// A commit costs one call of the store.
func TestStoreCalls_OfCommit(t *testing.T) {
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
		b.wantCalls(t, "a repeat whose function fails now", map[string]int{"Find": 1}, func() {
			v, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken", IdempotencyKey: "k"})
			if err != nil || !v.Accepted || !v.Duplicate {
				t.Errorf("%+v, %v", v, err)
			}
		})
	})
}

func TestStoreCalls_OfBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		n := newNode(t, shared.Process(), nil)
		g := newGate()
		createCounter(t, n.Manager, "counter", 0, held("held", g))
		if _, err := n.Propose(t.Context(), addition("counter", 1, "known")); err != nil {
			t.Fatal(err)
		}
		var r replies
		n.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{0}}, r.done("held"))
		<-g.arrived
		for i := range 50 {
			n.Submit(t.Context(), addition("counter", 1, fmt.Sprint("new-", i)), r.done("new"))
		}
		n.wantCalls(t, "what arrived while a function ran", map[string]int{"Append": 1}, func() {
			close(g.open)
			synctest.Wait()
		})
		if got := r.all(); len(got) != 51 {
			t.Errorf("%d of 51 replies", len(got))
		}
		wantState(t, n.Manager, "counter", `{"value":51}`)
	})
}
