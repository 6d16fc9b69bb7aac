package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

// recreate removes and creates "counter" at a process.
func recreate(t *testing.T, n node, value int) sharedata.Snapshot {
	t.Helper()
	if err := n.Remove(t.Context(), "counter"); err != nil {
		t.Fatal(err)
	}
	created, err := n.Create(t.Context(), "counter", Counter{value}, add)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// A proposal is for the ShareData that has the id now: its proposer cannot know that
// another process has created it again.
func TestRebind_CreatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		created := recreate(t, a, 50)
		v, err := b.Propose(t.Context(), addition("counter", 1, "k"))
		if err != nil || !v.Accepted || v.Duplicate || v.Cursor != created.Cursor.Next() {
			t.Errorf("%+v, %v", v, err)
		}
		wantState(t, b.Manager, "counter", `{"value":51}`)
		again, err := b.Propose(t.Context(), addition("counter", 1, "k"))
		wantRepeat(t, "the repeat", v, again, err)
		wantHistory(t, b.Manager, "counter", "1 created", `2 add {"by":1} accepted`)
	})
}

// A function is found again once per proposal, not for ever.
func TestRebind_Once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		runs := 0
		g := newGate()
		if _, err := b.Ensure(t.Context(), "counter", nil, held("held", g)); err != nil {
			t.Fatal(err)
		}
		var got replies
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{1}}, got.done("held"))
		for range 10 {
			synctest.Wait()
			if len(g.arrived) == 0 {
				break
			}
			<-g.arrived
			runs++
			recreate(t, a, runs) // before the append of b
			g.open <- struct{}{}
		}
		synctest.Wait()
		if reply := got.all(); len(reply) != 1 || !errors.Is(reply[0].err, sharedata.ErrUnknownShareData) || runs != 2 {
			t.Errorf("%+v after %d runs, want two", reply, runs)
		}
		wantHistory(t, newNode(t, shared.Process(), nil).Manager, "counter", "1 created")
	})
}

func TestRebind_KeepsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		recreate(t, a, 0)
		ctx := sharedata.WithCaller(t.Context(), &sharedata.Caller{Subject: "ann"})
		if _, err := b.Propose(ctx, addition("counter", 1, "")); err != nil {
			t.Fatal(err)
		}
		history := wholeHistory(t, b.Manager, "counter")
		if last := history[len(history)-1]; last.Caller == nil || last.Caller.Subject != "ann" {
			t.Errorf("proposed by %+v", last.Caller)
		}
	})
}

// The functions of Ensure stay registered when another process removes the ShareData
// and creates it again.
func TestEnsure_FunctionsAfterRemovalElsewhere(t *testing.T) {
	for _, observed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := twoNodes(t)
			for range 2 {
				if observed {
					mustObserve(t, b.Manager, "counter", &recorder{})
				}
				if err := a.Remove(t.Context(), "counter"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if _, err := b.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownShareData) {
					t.Errorf("while it is removed: %v", err)
				}
				synctest.Wait()
				createCounter(t, a.Manager, "counter", 0)
				b.add(t, 1)
			}
		})
	}
}

// A removal by the same manager ends the registration.
func TestEnsure_FunctionsAfterOwnRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, _, b := twoNodes(t)
		if err := b.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		createCounter(t, newNode(t, shared.Process(), nil).Manager, "counter", 0)
		if _, err := b.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
			t.Errorf("got %v", err)
		}
	})
}

// The functions of Create end with the ShareData, however this process learns that
// it was removed.
func TestCreate_FunctionsAfterRemovalElsewhere(t *testing.T) {
	for _, how := range []string{"unnoticed", "read", "observed", "missed"} {
		synctest.Test(t, func(t *testing.T) {
			shared := sharedstore.New()
			a, b := newNode(t, shared.Process(), nil), newNode(t, shared.Process(), nil)
			createCounter(t, b.Manager, "counter", 0)
			if how == "observed" || how == "missed" {
				mustObserve(t, b.Manager, "counter", &recorder{})
				synctest.Wait()
			}
			b.process.LoseAnnouncements(how == "missed")
			if err := a.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if how == "read" {
				if _, err := b.Get(t.Context(), "counter"); !errors.Is(err, sharedata.ErrUnknownShareData) {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
			}
			createCounter(t, a.Manager, "counter", 0)
			b.process.Check()
			synctest.Wait()
			if _, err := b.Propose(t.Context(), addition("counter", 1, "")); !errors.Is(err, sharedata.ErrUnknownFunction) {
				t.Errorf("%s: %v", how, err)
			}
		})
	}
}

// A history whose epoch was restarted is still that of the same ShareData.
func TestCreate_FunctionsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		a, b := newNode(t, shared.Process(), nil), newNode(t, shared.Process(), nil)
		kept := createCounter(t, b.Manager, "counter", 0)
		ensureCounter(t, a)
		for range 3 {
			b.add(t, 1)
			a.add(t, 1)
			shared.Rollback("counter", kept.Cursor)
			a.add(t, 1) // restarts the epoch
			kept = a.get(t)
			b.add(t, 1)
		}
		wantState(t, b.Manager, "counter", `{"value":4}`)
	})
}

// Create and Ensure go by what the store holds, not by the cached position.
func TestCreate_RemovedElsewhere(t *testing.T) {
	for _, observed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := twoNodes(t)
			if observed {
				mustObserve(t, b.Manager, "counter", &recorder{})
				synctest.Wait()
				b.process.LoseAnnouncements(true)
			}
			if err := a.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Create(t.Context(), "counter", Counter{5}, add); err != nil || string(got.State) != `{"value":5}` {
				t.Errorf("created: %+v, %v", got, err)
			}
			if got, err := a.Ensure(t.Context(), "counter", Counter{6}, add); err != nil || string(got.State) != `{"value":5}` {
				t.Errorf("ensured: %+v, %v", got, err)
			}
			if err := b.Remove(t.Context(), "counter"); err != nil {
				t.Fatal(err)
			}
			if got, err := a.Ensure(t.Context(), "counter", Counter{6}, add); err != nil || string(got.State) != `{"value":6}` {
				t.Errorf("ensured: %+v, %v", got, err)
			}
			if got, err := b.Create(t.Context(), "counter", Counter{7}, add); !errors.Is(err, sharedata.ErrExists) {
				t.Errorf("created: %+v, %v", got, err)
			}
		})
	}
}

// Proposals of one goroutine keep their order where their function is found again.
func TestRebind_KeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		recreate(t, a, 0)
		const n = 100
		var got replies
		for i := range n {
			b.Submit(t.Context(), addition("counter", i, ""), got.done(fmt.Sprint(i)))
		}
		synctest.Wait()
		history := wholeHistory(t, b.Manager, "counter")
		if len(history) != n+1 {
			t.Fatalf("%d entries, want %d", len(history), n+1)
		}
		for i, reply := range got.all() {
			if reply.name != fmt.Sprint(i) || reply.err != nil || reply.verdict.Cursor != history[i+1].Cursor || string(history[i+1].Data) != fmt.Sprintf(`{"by":%d}`, i) {
				t.Fatalf("reply %d is %+v, the entry %s", i, reply, line(history[i+1]))
			}
		}
	})
}

// The functions of a ShareData are those of the kind that it has now.
func TestRebind_OtherKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		options := &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("one", add, broken), sharedata.NewKind("two", add)}}
		a, b := newNode(t, shared.Process(), options), newNode(t, shared.Process(), options)
		if _, err := a.CreateKind(t.Context(), "counter", "one", Counter{}); err != nil {
			t.Fatal(err)
		}
		if got := b.get(t); got.Kind != "one" {
			t.Errorf("%+v", got)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "two", Counter{5}); err != nil {
			t.Fatal(err)
		}
		b.add(t, 1) // both kinds have it
		if got := b.get(t); got.Kind != "two" || string(got.State) != `{"value":6}` {
			t.Errorf("%+v", got)
		}
		if _, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"}); !errors.Is(err, sharedata.ErrUnknownFunction) {
			t.Errorf("a function of the earlier kind: %v", err)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "one", Counter{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Propose(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "broken"}); !errors.Is(err, errBroken) {
			t.Errorf("a function that only the present kind has: %v", err)
		}
	})
}

// A Resolver may call Get, also where the committer waits for it.
func TestRebind_ResolverCallsGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		a := newNode(t, shared.Process(), nil)
		ensureCounter(t, a)
		var b node
		b = newNode(t, shared.Process(), &sharedata.Options{Resolver: func(ctx context.Context, id, functionID string, registered sharedata.Functions) (*sharedata.Function, error) {
			if _, err := b.Get(ctx, id); err != nil {
				return nil, err
			}
			return registered.ByID(functionID), nil
		}})
		ensureCounter(t, b)
		b.add(t, 1)
		recreate(t, a, 0)
		begin := time.Now()
		if b.add(t, 1); time.Since(begin) != 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
	})
}

// A proposal is made for what another process has created again, before its manager
// knows of that.
func TestRebind_ProposalAheadOfManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		g := newGate()
		fails := sharedata.NewFunction("fails", func(context.Context, Counter, any) (Counter, error) {
			g.pass()
			return Counter{}, errBroken
		})
		options := &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("one", fails), sharedata.NewKind("two", add)}}
		a, b := newNode(t, shared.Process(), options), newNode(t, shared.Process(), options)
		if _, err := a.CreateKind(t.Context(), "counter", "one", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.get(t)
		var got replies
		b.Submit(t.Context(), sharedata.Proposal{ShareDataID: "counter", FunctionID: "fails"}, got.done("fails"))
		<-g.arrived
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "two", Counter{5}); err != nil {
			t.Fatal(err)
		}
		b.Submit(t.Context(), addition("counter", 1, ""), got.done("add"))
		close(g.open)
		synctest.Wait()
		if all := got.all(); len(all) != 2 || !errors.Is(all[0].err, errBroken) || !all[1].verdict.Accepted {
			t.Errorf("%+v", all)
		}
		wantState(t, b.Manager, "counter", `{"value":6}`)
	})
}

// Proposed data is checked against the schema of the function that the new kind has.
func TestRebind_OtherSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := sharedstore.New()
		strict := add.WithInputSchema(`{"properties":{"by":{"maximum":5}}}`)
		options := &sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("strict", strict), sharedata.NewKind("lenient", add)}}
		a, b := newNode(t, shared.Process(), options), newNode(t, shared.Process(), options)
		if _, err := a.CreateKind(t.Context(), "counter", "strict", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.get(t)
		if _, err := b.Propose(t.Context(), addition("counter", 100, "")); !errors.Is(err, sharedata.ErrInvalidInput) {
			t.Errorf("got %v", err)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateKind(t.Context(), "counter", "lenient", Counter{}); err != nil {
			t.Fatal(err)
		}
		b.add(t, 100)
	})
}

// A Resolver that hangs delays the ShareData by its deadline, once, and ends no more
// than its proposal.
func TestRebind_ResolverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		hang := make(chan struct{})
		var calls atomic.Int32
		resolver := func(ctx context.Context, id, functionID string, registered sharedata.Functions) (*sharedata.Function, error) {
			if calls.Add(1) > 1 {
				<-hang
			}
			return sharedata.ResolveByID(ctx, id, functionID, registered)
		}
		if err := a.Remove(t.Context(), "counter"); err != nil {
			t.Fatal(err)
		}
		createCounter(t, a.Manager, "counter", 5)
		p := addition("counter", 1, "")
		p.Resolver = resolver
		begin := time.Now()
		if _, err := b.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrUnknownShareData) {
			t.Errorf("got %v, want ErrUnknownShareData", err)
		}
		if took := time.Since(begin); calls.Load() != 2 || took > 6*time.Second {
			t.Errorf("%d calls took %v", calls.Load(), took)
		}
		if v, err := b.Propose(t.Context(), addition("counter", 1, "")); err != nil || !v.Accepted {
			t.Errorf("afterwards: %+v, %v", v, err)
		}
		close(hang)
	})
}
