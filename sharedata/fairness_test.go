package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// newStuck returns a manager of a counter with a function that takes until its deadline
// of half a second, and how often it was run.
func newStuck(t *testing.T) (*sharedata.Manager, func() int) {
	runs := make(chan struct{}, 1000)
	stuck := sharedata.NewFunction("stuck", func(ctx context.Context, c Counter, _ any) (Counter, error) {
		runs <- struct{}{}
		<-ctx.Done()
		return c, ctx.Err()
	}).WithTimeout(500 * time.Millisecond)
	m := newManager(t, nil)
	createCounter(t, m, "counter", 0, stuck)
	return m, func() int { return len(runs) }
}

func proposalFrom(connection, function string) sharedata.Proposal {
	return sharedata.Proposal{ShareDataID: "counter", FunctionID: function, Data: Add{1}, Connection: connection}
}

// runsUntilReply proposes and returns how many runs began until the reply.
func runsUntilReply(t *testing.T, m *sharedata.Manager, p sharedata.Proposal, runs func() int) int {
	t.Helper()
	before := runs()
	replied := make(chan int)
	m.Submit(t.Context(), p, func(v sharedata.Verdict, err error) {
		if err != nil || !v.Accepted {
			t.Error(v, err)
		}
		waited := runs() - before
		go func() { replied <- waited }()
	})
	return <-replied
}

// A proposer waits for at most one run of another proposer's function per proposal
// of its own, however many proposals the other one has in flight.
func TestFairness_OneRunPerTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, runs := newStuck(t)
		for range 20 {
			m.Submit(t.Context(), proposalFrom("hostile", "stuck"), func(_ sharedata.Verdict, err error) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the stuck function: %v", err)
				}
			})
		}
		for i := range 5 {
			if waited := runsUntilReply(t, m, proposalFrom("honest", "add"), runs); waited > 1 {
				t.Errorf("proposal %d waited for %d runs", i, waited)
			}
		}
		begin := time.Now()
		synctest.Wait()
		time.Sleep(time.Minute)
		if runs() != 20 {
			t.Errorf("the stuck function was run %d times in %v", runs(), time.Since(begin))
		}
	})
}

// What a slow function has decided is committed before the next slow function runs.
func TestFairness_CommitAfterTimeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := sharedata.NewFunction("slow", func(_ context.Context, c Counter, _ any) (Counter, error) {
			time.Sleep(time.Second)
			return Counter{c.Value + 1}, nil
		})
		m := newCounter(t, nil, 0, slow)
		begin := time.Now()
		replied := make(chan time.Duration, 3)
		for range 3 {
			m.Submit(t.Context(), proposalFrom("a", "slow"), func(sharedata.Verdict, error) { replied <- time.Since(begin) })
		}
		for want := time.Second; want <= 3*time.Second; want += time.Second {
			if got := <-replied; got != want {
				t.Errorf("a reply after %v, want %v", got, want)
			}
		}
	})
}

// What was decided before a function that is abandoned is committed at its deadline, not
// after the next function.
func TestFairness_CommitAfterAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		slow := sharedata.NewFunction("slow", func(_ context.Context, c Counter, _ any) (Counter, error) {
			time.Sleep(time.Second)
			return c, nil
		})
		m := newCounter(t, nil, 0, held("first", g), held("stuck", g).WithTimeout(time.Second), slow)
		m.Submit(t.Context(), proposalFrom("a", "first"), func(sharedata.Verdict, error) {})
		<-g.arrived
		begin := time.Now()
		took := make(map[string]time.Duration)
		for _, function := range []string{"add", "stuck", "slow"} {
			m.Submit(t.Context(), proposalFrom("a", function), func(sharedata.Verdict, error) { took[function] = time.Since(begin) })
		}
		g.open <- struct{}{}
		time.Sleep(time.Minute)
		want := map[string]time.Duration{"add": time.Second, "stuck": time.Second, "slow": 2 * time.Second}
		if synctest.Wait(); !maps.Equal(took, want) {
			t.Errorf("replies after %v, want %v", took, want)
		}
		close(g.open)
	})
}

// Many proposers take turns, and each keeps the order of its proposals.
func TestFairness_ManyProposers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var order []string
		note := sharedata.NewFunction("note", func(_ context.Context, c Counter, name string) (Counter, error) {
			order = append(order, name)
			return c, nil
		})
		m := newCounter(t, nil, 0, held("held", g), note)
		m.Submit(t.Context(), proposalFrom("first", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived
		const proposers, each = 30, 4
		for round := range each {
			for p := range proposers {
				proposal := proposalFrom(fmt.Sprint(p), "note")
				proposal.Data = fmt.Sprintf("%d of %d", round, p)
				m.Submit(t.Context(), proposal, func(sharedata.Verdict, error) {})
			}
		}
		proposal := proposalFrom("late", "note")
		proposal.Data = "late"
		m.Submit(t.Context(), proposal, func(sharedata.Verdict, error) {})
		close(g.open)
		synctest.Wait()
		var want []string
		for round := range each {
			for p := range proposers {
				want = append(want, fmt.Sprintf("%d of %d", round, p))
			}
			if round == 0 {
				want = append(want, "late")
			}
		}
		if fmt.Sprint(order) != fmt.Sprint(want) {
			t.Errorf("evaluated in the order\n%q\nwant\n%q", order, want)
		}
	})
}

// A caller without a connection is a proposer by its subject.
func TestFairness_BySubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, runs := newStuck(t)
		ann, bob := &sharedata.Caller{Subject: "ann"}, &sharedata.Caller{Subject: "bob"}
		for range 10 {
			p := proposalFrom("", "stuck")
			p.Caller = ann
			m.Submit(t.Context(), p, func(sharedata.Verdict, error) {})
		}
		p := proposalFrom("", "add")
		p.Caller = bob
		if waited := runsUntilReply(t, m, p, runs); waited > 1 {
			t.Errorf("waited for %d runs", waited)
		}
	})
}

// Learning earlier verdicts does not make a batch larger: a proposer with one key after
// another does not have the others wait for all its functions.
func TestFairness_KeyedProposals(t *testing.T) {
	for name, want := range map[string]error{"keys of failures": errBroken, "keys of verdicts": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs atomic.Int32
				keyed := sharedata.NewFunction("keyed", func(_ context.Context, c Counter, _ any) (Counter, error) {
					runs.Add(1)
					time.Sleep(9 * time.Millisecond) // less than the default MaxBatchTime
					return c, want
				})
				m := newCounter(t, nil, 0, keyed)
				submitAll := func() {
					for i := range 50 {
						p := proposalFrom("hostile", "keyed")
						p.IdempotencyKey = fmt.Sprint(i)
						m.Submit(t.Context(), p, func(_ sharedata.Verdict, err error) {
							if !errors.Is(err, want) {
								t.Error(err)
							}
						})
					}
				}
				submitAll()
				time.Sleep(time.Minute)
				submitAll()
				count := func() int { return int(runs.Load()) }
				for i := range 5 {
					if waited := runsUntilReply(t, m, proposalFrom("honest", "add"), count); waited > 3 {
						t.Errorf("proposal %d waited for %d runs", i, waited)
					}
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// A full queue has room for a proposer who has nothing in it, up to twice the limit.
func TestFairness_FullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, &sharedata.Options{MaxWaiting: 3}, 0, held("held", g))
		m.Submit(t.Context(), proposalFrom("a", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived // it is evaluated now, so it does not count as waiting
		busy := make(map[string]int)
		for _, connection := range []string{"a", "a", "a", "a", "b", "b", "c", "d", "e", "a"} {
			m.Submit(t.Context(), proposalFrom(connection, "add"), func(_ sharedata.Verdict, err error) {
				if errors.Is(err, sharedata.ErrBusy) {
					busy[connection]++
				}
			})
		}
		if got, want := fmt.Sprint(busy), "map[a:2 b:1 e:1]"; got != want {
			t.Errorf("refused are %s, want %s", got, want)
		}
		close(g.open)
		synctest.Wait()
	})
}
