package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// newRuns returns a manager of a counter with the functions "held", which waits for
// the gate, and "run", which adds 1, and how often each proposal to "run" was run, by its
// name. One whose name begins with "failing" fails, one with "rejected" is rejected, one with "stuck" ignores
// its deadline until the gate opens, and one with "exits" ends its goroutine.
func newRuns(t *testing.T, g *gate, options *sharedata.Options) (m *sharedata.Manager, runs func(name string) int) {
	var mu sync.Mutex
	counts := make(map[string]int)
	run := sharedata.NewFunction("run", func(_ context.Context, c Counter, name string) (Counter, error) {
		mu.Lock()
		counts[name]++
		mu.Unlock()
		switch {
		case strings.HasPrefix(name, "failing"):
			return c, errBroken
		case strings.HasPrefix(name, "rejected"):
			return c, sharedata.Reject("no")
		case strings.HasPrefix(name, "stuck"):
			<-g.open
		case strings.HasPrefix(name, "exits"):
			runtime.Goexit()
		}
		return Counter{c.Value + 1}, nil
	})
	return newCounter(t, options, 0, held("held", g).WithTimeout(-1), run), func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[name]
	}
}

func runOf(name, key string) sharedata.Proposal {
	return sharedata.Proposal{ShareDataID: "counter", FunctionID: "run", Data: name, IdempotencyKey: key}
}

// submitBatch submits runs that are evaluated in one batch, and returns the replies
// once all have come. Each of the runs is a name and an idempotency key.
func submitBatch(t *testing.T, m *sharedata.Manager, g *gate, runs ...[2]string) []reply {
	t.Helper()
	var r replies
	m.Submit(t.Context(), proposalFrom("", "held"), func(sharedata.Verdict, error) {})
	<-g.arrived
	for _, run := range runs {
		m.Submit(t.Context(), runOf(run[0], run[1]), r.done(run[0]))
	}
	g.open <- struct{}{}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := len(r.all()); n != len(runs) {
		t.Errorf("%d replies, want %d", n, len(runs))
	}
	return r.all()
}

// A function runs once per proposal, also where earlier verdicts are looked up.
func TestEvaluate_OncePerProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m, runs := newRuns(t, g, nil)
		if _, err := m.Propose(t.Context(), runOf("earlier", "known")); err != nil {
			t.Fatal(err)
		}
		for _, reply := range submitBatch(t, m, g, [][2]string{
			{"before", ""}, {"failing", "new"}, {"failing again", ""}, {"between", "k"}, {"failing repeat", "known"}, {"after", "l"},
		}...) {
			wantErr := reply.name == "failing" || reply.name == "failing again"
			if errors.Is(reply.err, errBroken) != wantErr || !wantErr && (reply.err != nil || !reply.verdict.Accepted) {
				t.Errorf("%s: %+v, %v", reply.name, reply.verdict, reply.err)
			}
			if reply.verdict.Duplicate != (reply.name == "failing repeat") {
				t.Errorf("%s: duplicate is %t", reply.name, reply.verdict.Duplicate)
			}
			if n := runs(reply.name); n != 1 {
				t.Errorf("%s ran %d times", reply.name, n)
			}
		}
		wantState(t, m, "counter", `{"value":5}`)
	})
}

// A proposal in the middle of a batch repeats one that the store knows, which the
// append finds out. The functions before it do not run again; those after it do where
// the repeat would have changed the state on which they ran.
func TestEvaluate_KnownKeyInBatch(t *testing.T) {
	for repeat, runsAfter := range map[string]int{"rejected": 1, "accepted": 2} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			m, runs := newRuns(t, g, nil)
			first, err := m.Propose(t.Context(), runOf("first", "known"))
			if err != nil {
				t.Fatal(err)
			}
			replies := submitBatch(t, m, g, [][2]string{{"before", ""}, {"before, keyed", "new"}, {repeat, "known"}, {"after", ""}, {"after, keyed", "l"}}...)
			want := map[string]int{"first": 1, "before": 1, "before, keyed": 1, repeat: 1, "after": runsAfter, "after, keyed": runsAfter}
			for name, n := range want {
				if got := runs(name); got != n {
					t.Errorf("%s repeat: %q ran %d times, want %d", repeat, name, got, n)
				}
			}
			for _, reply := range replies {
				if reply.name == repeat {
					wantRepeat(t, repeat, first, reply.verdict, reply.err)
				} else if reply.err != nil || !reply.verdict.Accepted || reply.verdict.Duplicate {
					t.Errorf("%s repeat: %+v", repeat, reply)
				}
			}
			wantState(t, m, "counter", `{"value":6}`) // held, first, and four of the batch
		})
	}
}

// A function is abandoned in the middle of a batch, at its deadline or because it ends
// its goroutine: what was decided before it is committed, what comes after it follows,
// and each function runs once.
func TestEvaluate_AbandonedInBatch(t *testing.T) {
	for abandoned, want := range map[string]error{"stuck": context.DeadlineExceeded, "exits": sharedata.ErrFunctionFailed} {
		for _, keyed := range []bool{false, true} {
			t.Run(fmt.Sprint(abandoned, ", keyed ", keyed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGate()
					m, runs := newRuns(t, g, &sharedata.Options{FunctionTimeout: time.Second})
					var seen recorder
					mustObserve(t, m, "counter", &seen)
					names := []string{"before", "failing before", abandoned, "after", "failing after", "last"}
					var batch [][2]string
					for _, name := range names {
						key := ""
						if keyed {
							key = "key of " + name
						}
						batch = append(batch, [2]string{name, key})
					}
					var order []string
					for _, reply := range submitBatch(t, m, g, batch...) {
						order = append(order, reply.name)
						var wantErr error
						switch {
						case reply.name == abandoned:
							wantErr = want
						case strings.HasPrefix(reply.name, "failing"):
							wantErr = errBroken
						}
						if !errors.Is(reply.err, wantErr) || reply.verdict.Accepted != (wantErr == nil) {
							t.Errorf("%s: %+v, %v, want %v", reply.name, reply.verdict, reply.err, wantErr)
						}
						if n := runs(reply.name); n != 1 {
							t.Errorf("%s ran %d times", reply.name, n)
						}
					}
					if !slices.Equal(order, names) {
						t.Errorf("replies in the order %q, want %q", order, names)
					}
					if n := len(seen.all()); n != 4 || seen.commits != 2 { // up to the abandoned one, and the rest
						t.Errorf("%d entries in %d commits, want 4 in 2", n, seen.commits)
					}
					close(g.open) // the function that is stuck returns
					synctest.Wait()
					wantState(t, m, "counter", `{"value":4}`)
				})
			})
		}
	}
}
