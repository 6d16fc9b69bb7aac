package realtime_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

func TestResolver_ByID(t *testing.T) {
	ts := serve(t, &realtime.Options{Resolver: sharedata.ResolveByID})
	ts.create("c")
	p := ts.dial()
	p.propose("c", "add", `{"by":1}`, "1")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
}

func TestResolver_AnyFunction(t *testing.T) {
	ts := serve(t, &realtime.Options{
		Resolver: func(_ context.Context, _, functionID string, _ sharedata.Functions) (*sharedata.Function, error) {
			if functionID == "increase" {
				return add, nil
			}
			return nil, nil
		},
	})
	ts.create("c")
	p := ts.dial()
	p.propose("c", "increase", `{"by":1}`, "1")
	if r := want[*wire.ProposalResult](p); !r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
	p.propose("c", "add", `{"by":1}`, "2")
	if r := want[*wire.ProposalResult](p); r.Accepted {
		t.Errorf("got %s", r.AppendTo(nil))
	}
}

func TestSlowFunction(t *testing.T) {
	ts := serve(t, nil)
	slow, unblock := blockingFunction("slow")
	defer unblock()
	ts.create("a", slow)
	ts.create("b")
	p := ts.dial()
	p.join("a", "")
	p.propose("a", "slow", "null", "slow")
	p.propose("a", "add", `{"by":1}`, "behind")
	p.wantPong("meanwhile")
	p.join("b", "")
	p.propose("b", "add", `{"by":1}`, "b")
	if m := want[*wire.Transaction](p); m.ShareDataID != "b" {
		t.Fatalf("got %s", m.AppendTo(nil))
	}
	if r := want[*wire.ProposalResult](p); r.CorrelationID != "b" {
		t.Fatalf("got %s", r.AppendTo(nil))
	}
	unblock()
	for _, correlation := range []string{"slow", "behind"} {
		m := must(p)
		for ; ; m = must(p) {
			if _, ok := m.(*wire.Transaction); !ok {
				break
			}
		}
		if r, ok := m.(*wire.ProposalResult); !ok || r.CorrelationID != correlation || !r.Accepted {
			t.Fatalf("want the result of %q, got %s", correlation, m.AppendTo(nil))
		}
	}
}

func TestPropose_ConnectionEnded(t *testing.T) {
	var r recorder
	ts := serve(t, &realtime.Options{Observer: r.observer()})
	slow, unblock := blockingFunction("slow")
	defer unblock()
	ts.create("c", slow)
	p := ts.dial()
	p.propose("c", "slow", "null", "1")
	p.propose("c", "add", `{"by":1}`, "2")
	p.wantPong("both have arrived")
	p.conn.CloseNow()
	r.wantClosed(t, 1006)
	unblock()
	if err := ts.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ts.cursor("c").Revision; got != 3 {
		t.Errorf("the history is at revision %d, want 3", got)
	}
}

func TestEffectBeforeResult(t *testing.T) {
	ts := serve(t, nil)
	ts.create("c")
	p := ts.dial()
	p.join("c", "")
	const n = 300
	go func() {
		for i := range n {
			p.propose("c", "add", `{"by":1}`, strconv.Itoa(i))
		}
	}()
	seen := make(map[string]bool)
	results, refused := 0, 0
	for results+refused < n {
		switch m := must(p).(type) {
		case *wire.Transaction:
			seen[m.TransactionID] = true
		case *wire.ProposalResult:
			switch {
			case m.TransactionID == "":
				refused++ // more in flight than allowed
			case !seen[m.TransactionID]:
				t.Fatalf("the result of %s came before its transaction", m.TransactionID)
			default:
				results++
			}
		}
	}
	if results == 0 {
		t.Error("every proposal was refused")
	}
}

func TestPropose_InOrder(t *testing.T) {
	ts := serve(t, &realtime.Options{MaxProposalsInFlight: -1})
	appendFunction := sharedata.NewFunction("append", func(_ context.Context, list []int, n int) ([]int, error) {
		return append(list, n), nil
	})
	if _, err := ts.manager.Create(t.Context(), "list", []int{}, appendFunction); err != nil {
		t.Fatal(err)
	}
	p := ts.dial()
	const n = 200
	for i := range n {
		p.propose("list", "append", strconv.Itoa(i), strconv.Itoa(i))
	}
	for range n {
		if r := want[*wire.ProposalResult](p); !r.Accepted {
			t.Fatalf("%s", r.AppendTo(nil))
		}
	}
	at, err := ts.manager.Get(t.Context(), "list")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := sharedata.Decode[[]int](at.State)
	for i := range n {
		if list[i] != i {
			t.Fatalf("proposal %d was evaluated in place of %d", list[i], i)
		}
	}
}

func TestEffectBeforeResult_State(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		slow, unblock := blockingFunction("slow")
		ts.create("c", slow)
		if _, err := ts.manager.Create(t.Context(), "big", counter{Pad: strings.Repeat("x", 900<<10)}, add); err != nil {
			t.Fatal(err)
		}
		p := dialPipe(ts)
		p.propose("c", "slow", "null", "before")
		p.subscribe("big", "")
		synctest.Wait()
		p.subscribe("c", "")
		synctest.Wait()
		unblock()
		p.propose("c", "add", `{"by":1}`, "behind")
		synctest.Wait()
		want[*wire.State](p)
		if state := want[*wire.State](p); state.ShareDataID != "c" || state.Revision != 2 {
			t.Errorf("got %s", state.AppendTo(nil))
		}
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "before" {
			t.Errorf("got %s", result.AppendTo(nil))
		}
		p.wantTransactions(3, 3)
		if result := want[*wire.ProposalResult](p); result.CorrelationID != "behind" {
			t.Errorf("got %s", result.AppendTo(nil))
		}
	})
}
