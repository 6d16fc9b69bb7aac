package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestShareDataLifecycle(t *testing.T) {
	m := newManager(t, nil)
	ctx := t.Context()
	created := createCounter(t, m, "counter", 3)
	if created.ID != "counter" || string(created.State) != `{"value":3}` || created.Cursor.Revision != 1 || !created.LastTransaction.IsZero() || created.Kind != "" {
		t.Errorf("created: %+v", created)
	}
	accepted := mustAdd(t, m, "counter", 2)
	rejected, err := m.Propose(ctx, addition("counter", -9, ""))
	if err != nil || rejected.Accepted || rejected.Reason != "below zero" {
		t.Errorf("rejected: %+v, %v", rejected, err)
	}
	if want := created.Cursor.Next(); accepted.Cursor != want || rejected.Cursor != want.Next() {
		t.Errorf("verdicts at %s and %s", accepted.Cursor, rejected.Cursor)
	}
	updated, err := m.Update(ctx, "counter", Counter{10})
	if err != nil || string(updated.State) != `{"value":10}` || updated.Cursor.Revision != 4 || updated.LastTransaction != rejected.Cursor {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	if got := mustGet(t, m, "counter"); got.Cursor != updated.Cursor || string(got.State) != string(updated.State) {
		t.Errorf("get: %+v", got)
	}
	wantHistory(t, m, "counter", "1 created", `2 add {"by":2} accepted`, `3 add {"by":-9} rejected`, "4 updated")

	if err := m.Remove(ctx, "counter"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(ctx, "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Errorf("get of what was removed: %v", err)
	}
	again, err := m.Create(ctx, "counter", Counter{1})
	if err != nil || again.Cursor.Epoch <= created.Cursor.Epoch || again.Cursor.Revision != 1 || !again.LastTransaction.IsZero() {
		t.Errorf("created again: %+v, %v", again, err)
	}
	wantHistory(t, m, "counter", "1 created")
	if _, err := m.Propose(ctx, addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
		t.Errorf("the functions of what was removed are still there: %v", err)
	}
}

func TestCreate_NewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		m := newManager(t, nil)
		var last uint64
		for range 50 {
			created := createCounter(t, m, "counter", 0)
			if created.Cursor.Epoch <= last {
				t.Fatalf("epoch %d after %d", created.Cursor.Epoch, last)
			}
			last = created.Cursor.Epoch
			if err := m.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var validIDs = []string{
	"a", " ", "../..", "*", "日本語", "👩‍👩‍👧‍👦", "\u2028\ufeff", `quote " \`, "\ufffd",
	strings.Repeat("x", sharedata.MaxIDBytes),
}

func TestID_AnyUTF8(t *testing.T) {
	m := newManager(t, nil)
	for _, id := range validIDs {
		createCounter(t, m, id, 1)
		mustAdd(t, m, id, 1)
		wantState(t, m, id, `{"value":2}`)
		wantHistory(t, m, id, "1 created", `2 add {"by":1} accepted`)
	}
	ids, err := m.List(t.Context(), nil)
	want := slices.Sorted(slices.Values(validIDs))
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("list: %q, %v", ids, err)
	}
}

func TestID_Invalid(t *testing.T) {
	m := newManager(t, nil)
	ctx := t.Context()
	for _, id := range []string{"", "a\xff", "\xed\xa0\x80", strings.Repeat("x", sharedata.MaxIDBytes+1)} {
		_, errCreate := m.Create(ctx, id, 0)
		_, errEnsure := m.Ensure(ctx, id, 0)
		_, errGet := m.Get(ctx, id)
		_, errUpdate := m.Update(ctx, id, 0)
		_, errPropose := m.Propose(ctx, addition(id, 1, ""))
		_, _, errObserve := m.Observe(ctx, id, &recorder{})
		_, errVerify := m.VerifyHistory(ctx, id)
		var errHistory error
		for _, err := range m.History(ctx, id, replay.Cursor{}) {
			errHistory = err
		}
		for i, err := range []error{errCreate, errEnsure, errGet, errUpdate, errPropose, errObserve, errVerify, errHistory, m.Remove(ctx, id)} {
			if !errors.Is(err, sharedata.ErrInvalidID) {
				t.Errorf("id %.10q, call %d: %v", id, i, err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		}
	}
}

func TestNewManager_CopiesOptions(t *testing.T) {
	kinds := []sharedata.Kind{sharedata.NewKind("counter", add)}
	options := &sharedata.Options{Kinds: kinds}
	m := newManager(t, options)
	kinds[0].Functions[0] = broken
	options.Kinds, options.Resolver, options.Store = nil, sharedata.ResolveNone, nil
	if _, err := m.CreateKind(t.Context(), "c", "counter", Counter{1}); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, m, "c", 1)

	functions := []*sharedata.Function{add}
	if _, err := m.Create(t.Context(), "d", Counter{1}, functions...); err != nil {
		t.Fatal(err)
	}
	functions[0] = broken
	mustAdd(t, m, "d", 1)
}

func TestOptions_Invalid(t *testing.T) {
	for _, o := range []sharedata.Options{
		{FunctionTimeout: -2}, {StoreTimeout: -time.Second}, {MaxBatch: -2}, {MaxWaiting: -100},
	} {
		if _, err := sharedata.NewManager(&o); err == nil || !strings.Contains(err.Error(), "-1 to switch it off") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	off := &sharedata.Options{FunctionTimeout: -1, StoreTimeout: -1, MaxBatch: -1, MaxWaiting: -1}
	m := newCounter(t, off, 0)
	mustAdd(t, m, "counter", 1)
	if off.Store != nil || off.Resolver != nil || off.Logger != nil || off.MaxBatch != -1 {
		t.Errorf("the options were changed: %+v", off)
	}
}

func TestPropose_ErrorLeavesNoEntry(t *testing.T) {
	m := newCounter(t, &sharedata.Options{FunctionTimeout: -1}, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		p    sharedata.Proposal
		want error
	}{
		{"unknown ShareData", nil, addition("other", 1, ""), sharedata.ErrUnknownShareData},
		{"unknown function", nil, sharedata.Proposal{ShareDataID: "counter", FunctionID: "other"}, sharedata.ErrUnknownFunction},
		{"no function", nil, sharedata.Proposal{ShareDataID: "counter"}, sharedata.ErrUnknownFunction},
		{"invalid input", nil, sharedata.Proposal{ShareDataID: "counter", FunctionID: "add", Data: "one"}, sharedata.ErrInvalidInput},
		{"a function that fails", nil, sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"}, sharedata.ErrFunctionFailed},
		{"a function that fails, its error", nil, sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"}, errBroken},
		{"a key that is not text", nil, addition("counter", 1, "\xff"), sharedata.ErrInvalidKey},
		{"a key that is too long", nil, addition("counter", 1, strings.Repeat("k", sharedata.MaxKeyBytes+1)), sharedata.ErrInvalidKey},
		{"a context that has ended", ended, addition("counter", 1, ""), context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			v, err := m.Propose(ctx, test.p)
			if !errors.Is(err, test.want) || !reflect.DeepEqual(v, sharedata.Verdict{}) {
				t.Errorf("%+v, %v, want %v", v, err, test.want)
			}
			wantHistory(t, m, "counter", "1 created")
		})
	}
	if v, err := m.Propose(t.Context(), addition("counter", 1, strings.Repeat("k", sharedata.MaxKeyBytes))); err != nil || !v.Accepted {
		t.Errorf("the longest key: %+v, %v", v, err)
	}
}

func TestLifecycleErrors(t *testing.T) {
	m := newCounter(t, nil, 0)
	ctx := t.Context()
	_, errCreate := m.Create(ctx, "counter", 0)
	_, errGet := m.Get(ctx, "other")
	_, errUpdate := m.Update(ctx, "other", 0)
	_, _, errObserve := m.Observe(ctx, "other", &recorder{})
	_, errVerify := m.VerifyHistory(ctx, "other")
	var errHistory error
	for _, err := range m.History(ctx, "other", replay.Cursor{}) {
		errHistory = err
	}
	if !errors.Is(errCreate, sharedata.ErrExists) {
		t.Errorf("Create: %v", errCreate)
	}
	for i, err := range []error{errGet, errUpdate, errObserve, errVerify, errHistory, m.Remove(ctx, "other")} {
		if !errors.Is(err, sharedata.ErrUnknownShareData) || !strings.Contains(err.Error(), `"other"`) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	wantHistory(t, m, "counter", "1 created")
}

func TestShareDataAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		createCounter(t, m, "other", 0)
		done := make(chan error)
		go func() {
			_, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{1}})
			done <- err
		}()
		<-g.arrived
		mustAdd(t, m, "other", 1)
		createCounter(t, m, "third", 0)
		if got := mustGet(t, m, "counter"); string(got.State) != `{"value":0}` {
			t.Errorf("the state of the one that is busy is %s", got.State)
		}
		if time.Now() != time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Local() {
			t.Error("that took time")
		}
		close(g.open)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// busy counts the goroutines that work for ShareData.
func busy() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "sharedata.(*shareData).run(")
}

// What the goroutines that wait for the next ShareData cost is bounded, and Close
// ends them: the bubble fails the test if any goroutine is left.
func TestIdle_NoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, nil)
		g := newGate()
		var seen recorder
		var a replies
		for i := range 20 {
			id := fmt.Sprint("counter-", i)
			createCounter(t, m, id, 0, held("held", g))
			mustObserve(t, m, id, &seen)
			mustAdd(t, m, id, 1)
			_, _ = m.Propose(t.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: "broken"})
			m.Submit(t.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: "held"}, a.done(id))
		}
		synctest.Wait()
		if n := busy(); n != 20 {
			t.Errorf("%d goroutines while all are busy, this test cannot count them", n)
		}
		close(g.open)
		synctest.Wait()
		if n := busy(); n != 0 {
			t.Errorf("%d goroutines while all are idle", n)
		}
		if len(seen.all()) != 40 || len(a.all()) != 20 {
			t.Errorf("%d events, %d answers", len(seen.all()), len(a.all()))
		}
	})
}

func TestLargeState(t *testing.T) {
	m := newManager(t, nil)
	f := sharedata.NewRawFunction("set", func(_ context.Context, _, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	large := strings.Repeat("x", 6<<20) // more than the default store keeps of a history
	if _, err := m.Create(t.Context(), "x", large, f); err != nil {
		t.Fatal(err)
	}
	if v, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "set", Data: large + "y"}); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	if got := mustGet(t, m, "x"); len(got.State) != len(large)+3 {
		t.Errorf("the state has %d bytes", len(got.State))
	}
	if _, err := m.VerifyHistory(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}
