package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Changes beyond MaxWaiting fail with ErrBusy at once.
func TestBatch_MaxWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, &sharedata.Options{MaxWaiting: 3}, 0, held("held", g))
		var r replies
		p := sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{100}}
		m.Submit(t.Context(), p, r.done("held"))
		<-g.arrived // it is evaluated now, so it does not count as waiting
		for i := range 5 {
			m.Submit(t.Context(), addition("counter", 1, ""), r.done(fmt.Sprint(i)))
		}
		early := r.all()
		if len(early) != 2 || early[0].name != "3" || early[1].name != "4" || !errors.Is(early[0].err, sharedata.ErrBusy) || !errors.Is(early[1].err, sharedata.ErrBusy) {
			t.Errorf("replies beyond the limit: %+v", early)
		}
		if _, err := m.Update(t.Context(), "counter", 0); !errors.Is(err, sharedata.ErrBusy) {
			t.Errorf("update: %v", err)
		}
		close(g.open)
		synctest.Wait()
		for _, reply := range r.all()[2:] {
			if !reply.verdict.Accepted || reply.err != nil {
				t.Errorf("%+v", reply)
			}
		}
		wantState(t, m, "counter", `{"value":103}`)
	})
}

// countingStore returns a store that blocks each append at the gate, and the sizes of the
// batches that it took.
func countingStore(t *testing.T, g *gate) (*store, *[]int) {
	sizes := new([]int)
	s := &store{Store: newMemory(t, nil)}
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		g.pass()
		*sizes = append(*sizes, len(batch.Entries))
		return s.Store.Append(ctx, id, batch)
	}
	return s, sizes
}

// Proposals that arrive during an append are committed together by the next one.
func TestBatch_GathersDuringAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s, sizes := countingStore(t, g)
		m := newManager(t, &sharedata.Options{Store: s, StoreTimeout: -1})
		go func() { g.open <- struct{}{} }()
		createCounter(t, m, "counter", 0)
		var seen recorder
		if _, _, err := m.Observe(t.Context(), "counter", &seen); err != nil {
			t.Fatal(err)
		}
		var r replies
		for i := range 11 {
			m.Submit(t.Context(), addition("counter", i, ""), r.done(fmt.Sprint(i)))
			if i == 0 {
				synctest.Wait() // its append is under way
			}
		}
		synctest.Wait()
		if len(r.all()) != 0 || len(seen.all()) != 0 {
			t.Errorf("before the store has taken anything: replies %+v, events %+v", r.all(), seen.all())
		}
		g.open <- struct{}{}
		synctest.Wait()
		if len(r.all()) != 1 || len(seen.all()) != 1 {
			t.Errorf("after the first append: %+v, %+v", r.all(), seen.all())
		}
		close(g.open)
		synctest.Wait()
		if want := []int{1, 1, 10}; !slices.Equal(*sizes, want) {
			t.Errorf("batches of %v, want %v", *sizes, want)
		}
		if len(r.all()) != 11 || len(seen.all()) != 11 || seen.commits != 2 {
			t.Errorf("%d replies, %d events in %d commits", len(r.all()), len(seen.all()), seen.commits)
		}
		for i, reply := range r.all() {
			if reply.name != fmt.Sprint(i) || reply.err != nil || reply.verdict.Cursor.Revision != uint64(i+2) {
				t.Errorf("reply %d is %+v", i, reply)
			}
		}
		wantState(t, m, "counter", `{"value":55}`)
		wholeHistory(t, m, "counter")
	})
}

func TestBatch_MaxBatch(t *testing.T) {
	for maxBatch, want := range map[int][]int{3: {1, 1, 3, 3, 3, 1}, 1: {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, -1: {1, 1, 10}} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			s, sizes := countingStore(t, g)
			m := newManager(t, &sharedata.Options{Store: s, StoreTimeout: -1, MaxBatch: maxBatch})
			go func() { g.open <- struct{}{} }()
			createCounter(t, m, "counter", 0)
			var r replies
			for i := range 11 {
				m.Submit(t.Context(), addition("counter", 1, ""), r.done(fmt.Sprint(i)))
				if i == 0 {
					synctest.Wait()
				}
			}
			close(g.open)
			synctest.Wait()
			if !slices.Equal(*sizes, want) {
				t.Errorf("MaxBatch %d: batches of %v, want %v", maxBatch, *sizes, want)
			}
			for i, reply := range r.all() {
				if reply.name != fmt.Sprint(i) || !reply.verdict.Accepted {
					t.Errorf("MaxBatch %d: reply %d is %+v", maxBatch, i, reply)
				}
			}
		})
	}
}

// A proposal whose context ends before its turn is not evaluated, whether it is
// still queued or its batch has begun.
func TestBatch_ContextEndsBeforeTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		ran := 0
		counted := sharedata.NewFunction("counted", func(_ context.Context, c Counter, _ any) (Counter, error) {
			ran++
			return Counter{c.Value + 1000}, nil
		})
		m := newCounter(t, &sharedata.Options{FunctionTimeout: -1}, 0, held("held", g), counted)
		submit := func(ctx context.Context, r *replies, function string) {
			p := sharedata.Proposal{ShareDataID: "counter", FunctionID: function, Data: Add{1}}
			m.Submit(ctx, p, r.done(function))
		}
		// The first "counted" is withdrawn before its batch begins, the second while
		// the proposal before it in the batch is evaluated.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var r replies
		submit(t.Context(), &r, "held")
		<-g.arrived
		early, cancelEarly := context.WithCancel(t.Context())
		submit(early, &r, "counted")
		submit(t.Context(), &r, "held")
		submit(ctx, &r, "counted")
		submit(t.Context(), &r, "add")
		cancelEarly()
		g.open <- struct{}{}
		<-g.arrived
		cancel()
		g.open <- struct{}{}
		synctest.Wait()
		if ran != 0 {
			t.Errorf("%d withdrawn proposals were evaluated", ran)
		}
		cancelled := 0
		for _, reply := range r.all() {
			if reply.name == "counted" && errors.Is(reply.err, context.Canceled) {
				cancelled++
			} else if reply.err != nil || !reply.verdict.Accepted {
				t.Errorf("%+v", reply)
			}
		}
		if cancelled != 2 || len(r.all()) != 5 {
			t.Errorf("%d of %d replies are the cancellation", cancelled, len(r.all()))
		}
		wantState(t, m, "counter", `{"value":3}`)
	})
}

// Proposals that one goroutine submits are evaluated in that order.
func TestBatch_KeepsProposerOrder(t *testing.T) {
	const proposers, each = 4, 100
	list := sharedata.NewFunction("append", func(_ context.Context, s []string, in string) ([]string, error) {
		return append(s, in), nil
	})
	m := newManager(t, &sharedata.Options{MaxBatch: 7})
	if _, err := m.Create(t.Context(), "list", []string{}, list); err != nil {
		t.Fatal(err)
	}
	replied := make(chan error, proposers*each)
	for p := range proposers {
		go func() {
			for i := range each {
				proposal := sharedata.Proposal{ShareDataID: "list", FunctionID: "append", Data: fmt.Sprintf("%d:%04d", p, i)}
				m.Submit(context.Background(), proposal, func(_ sharedata.Verdict, err error) { replied <- err })
			}
		}()
	}
	for range proposers * each {
		if err := <-replied; err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := json.Unmarshal(mustGet(t, m, "list").State, &got); err != nil {
		t.Fatal(err)
	}
	for p := range proposers {
		var mine []string
		for _, s := range got {
			if strings.HasPrefix(s, fmt.Sprint(p, ":")) {
				mine = append(mine, s)
			}
		}
		if len(mine) != each || !slices.IsSorted(mine) {
			t.Errorf("proposer %d: %d proposals, in order: %v", p, len(mine), slices.IsSorted(mine))
		}
	}
}

// Without a time budget, everything that waits is committed by one append, however
// slow the functions are.
func TestBatch_NoTimeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := sharedata.NewFunction("slow", func(_ context.Context, c Counter, _ any) (Counter, error) {
			time.Sleep(time.Second)
			return Counter{c.Value + 1}, nil
		})
		g := newGate()
		m := newCounter(t, &sharedata.Options{MaxBatchTime: -1}, 0, held("held", g), slow)
		var seen recorder
		mustObserve(t, m, "counter", &seen)
		m.Submit(t.Context(), proposalFrom("", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived
		const n = 20
		replied := make(chan time.Time, n)
		for range n {
			m.Submit(t.Context(), proposalFrom("", "slow"), func(sharedata.Verdict, error) { replied <- time.Now() })
		}
		begin := time.Now()
		close(g.open)
		for range n {
			if took := (<-replied).Sub(begin); took != n*time.Second {
				t.Errorf("a reply after %v, want %v", took, n*time.Second)
			}
		}
		if seen.commits != 1 || len(seen.all()) != n+1 {
			t.Errorf("%d entries in %d commits, want %d in one", len(seen.all()), seen.commits, n+1)
		}
	})
}
