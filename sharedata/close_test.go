package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestClose_CallsFail(t *testing.T) {
	memory := newMemory(t, nil)
	m := newCounter(t, &sharedata.Options{Store: memory, Kinds: []sharedata.Kind{sharedata.NewKind("kind")}}, 0)
	mustAdd(t, m, "counter", 1)
	var seen recorder
	_, stop := mustObserve(t, m, "counter", &seen)
	for range 3 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	for _, id := range []string{"counter", "other"} {
		_, errCreate := m.Create(ctx, id, 0)
		_, errKind := m.CreateKind(ctx, id, "kind", 0)
		_, errEnsure := m.Ensure(ctx, id, 0)
		_, errGet := m.Get(ctx, id)
		_, errList := m.List(ctx, nil)
		_, errUpdate := m.Update(ctx, id, 0)
		_, errPropose := m.Propose(ctx, addition(id, 1, ""))
		_, _, errObserve := m.Observe(ctx, id, &recorder{})
		_, errHistory := revisions(ctx, m, id, replay.Cursor{})
		_, errVerify := m.VerifyHistory(ctx, id)
		for i, err := range []error{errCreate, errKind, errEnsure, errGet, errList, errUpdate, errPropose, errObserve, errHistory, errVerify, m.Remove(ctx, id)} {
			if !errors.Is(err, sharedata.ErrClosed) {
				t.Errorf("%q, call %d: %v", id, i, err)
			}
		}
	}
	stop()
	m.ObserveAll(&seen)()
	if len(seen.all()) != 0 {
		t.Errorf("notified of %+v", seen.all())
	}
	// The store was handed in and is not the manager's to close.
	wantState(t, newManager(t, &sharedata.Options{Store: memory}), "counter", `{"value":1}`)
}

// Close lets the proposal that is evaluated be committed, and refuses those that
// wait.
func TestClose_FinishesCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		memory := newMemory(t, nil)
		m, err := sharedata.NewManager(&sharedata.Options{Store: memory})
		if err != nil {
			t.Fatal(err)
		}
		createCounter(t, m, "counter", 0, held("held", g))
		var r replies
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{10}}, r.done("held"))
		<-g.arrived
		for i := range 5 {
			m.Submit(t.Context(), addition("counter", 1, ""), r.done(fmt.Sprint(i)))
		}
		closed := make(chan struct{})
		for range 2 {
			go func() {
				m.Close()
				closed <- struct{}{}
			}()
		}
		synctest.Wait()
		if len(closed) != 0 || len(r.all()) != 0 {
			t.Errorf("Close did not wait: %+v", r.all())
		}
		if _, err := m.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrClosed) {
			t.Errorf("a proposal while it closes: %v", err)
		}
		close(g.open)
		<-closed
		<-closed
		for _, reply := range r.all() {
			if reply.name == "held" && (reply.err != nil || !reply.verdict.Accepted) {
				t.Errorf("the proposal that was evaluated: %+v", reply)
			}
			if reply.name != "held" && !errors.Is(reply.err, sharedata.ErrClosed) {
				t.Errorf("a proposal that waited: %+v", reply)
			}
		}
		if len(r.all()) != 6 {
			t.Errorf("%d of 6 replies", len(r.all()))
		}
		wantState(t, newManager(t, &sharedata.Options{Store: memory}), "counter", `{"value":10}`)
	})
}

// Close refuses the rest of a batch, or it would wait for up to MaxBatch functions.
func TestClose_RefusesRestOfBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		slow := sharedata.NewFunction("slow", func(_ context.Context, c Counter, _ any) (Counter, error) {
			time.Sleep(time.Second)
			return Counter{c.Value + 1}, nil
		})
		m := newCounter(t, nil, 0, held("held", g), slow)
		var r replies
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held"}, r.done("held"))
		<-g.arrived
		for range 100 {
			m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "slow"}, r.done("slow"))
		}
		close(g.open)
		begin := time.Now()
		time.Sleep(2500 * time.Millisecond)
		m.Close()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("Close returned after %v, the third run ends after 3 s", took)
		}
		evaluated := 0
		for _, reply := range r.all() {
			if reply.verdict.Accepted {
				evaluated++
			} else if !errors.Is(reply.err, sharedata.ErrClosed) {
				t.Errorf("%+v", reply)
			}
		}
		if evaluated != 4 || len(r.all()) != 101 {
			t.Errorf("%d of %d were evaluated", evaluated, len(r.all()))
		}
	})
}

// Close waits for a function until its deadline, not longer.
func TestClose_AbandonsStuckFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("stuck", g))
		var r replies
		m.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "stuck"}, r.done("stuck"))
		<-g.arrived
		begin := time.Now()
		m.Close()
		if took := time.Since(begin); took != 5*time.Second { // its deadline
			t.Errorf("Close took %v", took)
		}
		if got := r.all(); len(got) != 1 || !errors.Is(got[0].err, context.DeadlineExceeded) {
			t.Errorf("%+v", got)
		}
		close(g.open)
	})
}

// Close while every kind of call is under way: each call ends, nothing accepted is
// lost, and no observer is notified afterwards.
func TestClose_Concurrent(t *testing.T) {
	for range 20 {
		memory := newMemory(t, nil)
		m, err := sharedata.NewManager(&sharedata.Options{Store: memory})
		if err != nil {
			t.Fatal(err)
		}
		createCounter(t, m, "counter", 0)
		ctx := context.Background()
		var seen recorder
		var wait sync.WaitGroup
		var mu sync.Mutex
		accepted := 0
		untilClosed := func(call func() error) {
			wait.Go(func() {
				for {
					err := call()
					if errors.Is(err, sharedata.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, sharedata.ErrUnknownShareData) && !errors.Is(err, sharedata.ErrExists) {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 3 {
			untilClosed(func() error {
				v, err := m.Propose(ctx, addition("counter", 1, ""))
				if v.Accepted {
					mu.Lock()
					accepted++
					mu.Unlock()
				}
				return err
			})
		}
		untilClosed(func() error { _, err := m.Create(ctx, "other", 0); return err })
		untilClosed(func() error { return m.Remove(ctx, "other") })
		untilClosed(func() error { _, err := m.Get(ctx, "other"); return err })
		untilClosed(func() error { _, err := m.List(ctx, nil); return err })
		untilClosed(func() error { _, err := revisions(ctx, m, "counter", replay.Cursor{}); return err })
		untilClosed(func() error {
			_, stop, err := m.Observe(ctx, "counter", &seen)
			if err == nil {
				stop()
			}
			return err
		})
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() { m.Close() })
		}
		closers.Wait()
		notified := len(seen.all())
		wait.Wait()
		if len(seen.all()) != notified {
			t.Error("an observer was notified after Close had returned")
		}
		wantState(t, newManager(t, &sharedata.Options{Store: memory}), "counter", fmt.Sprintf(`{"value":%d}`, accepted))
	}
}
