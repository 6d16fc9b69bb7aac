package sharedata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// A context that ends before the proposal's turn withdraws it.
func TestOutcome_WithdrawnBeforeTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		m.Submit(t.Context(), proposalFrom("a", "held"), func(sharedata.Verdict, error) {})
		<-g.arrived
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.Propose(ctx, proposalFrom("b", "add"))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sharedata.ErrOutcomeUnknown) {
			t.Errorf("got %v, want the context's error alone", err)
		}
		_, err = m.Update(ctx, "counter", Counter{9})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sharedata.ErrOutcomeUnknown) {
			t.Errorf("the update: %v, want the context's error alone", err)
		}
		close(g.open)
		synctest.Wait()
		wantState(t, m, "counter", `{"value":1}`)
	})
}

// A context that ends during the append leaves the outcome unknown, and it may be an
// accepted one.
func TestOutcome_UnknownDuringAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, nil)
		g := newGate()
		s := &store{Store: memory}
		m := newCounter(t, &sharedata.Options{Store: s}, 0)
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			g.pass()
			return memory.Append(ctx, id, batch)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.Propose(ctx, addition("counter", 1, "key"))
		if !errors.Is(err, sharedata.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrOutcomeUnknown and the context's error", err)
		}
		close(g.open)
		synctest.Wait()
		v, err := m.Propose(t.Context(), addition("counter", 1, "key"))
		if err != nil || !v.Accepted || !v.Duplicate {
			t.Errorf("the repeat: %+v, %v", v, err)
		}
		wantState(t, m, "counter", `{"value":1}`)
	})
}

// Of a failed append the outcome is unknown to those whose entries it had, and known
// to those that wanted none.
func TestOutcome_FailedAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, nil)
		s := &store{Store: memory}
		g := newGate()
		m := newCounter(t, &sharedata.Options{Store: s}, 0, held("held", g))
		down := false
		s.append = func(ctx context.Context, id string, batch replay.Batch) error {
			if down {
				return replay.ErrUnavailable
			}
			return memory.Append(ctx, id, batch)
		}
		s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			if down {
				return replay.Head{}, replay.ErrUnavailable
			}
			return memory.Load(ctx, id, have)
		}
		var r replies
		m.Submit(t.Context(), proposalFrom("a", "held"), r.done("held"))
		<-g.arrived
		m.Submit(t.Context(), proposalFrom("b", "broken"), r.done("broken"))
		down = true
		close(g.open)
		synctest.Wait()
		if _, err := m.Propose(t.Context(), proposalFrom("c", "add")); !errors.Is(err, replay.ErrUnavailable) || errors.Is(err, sharedata.ErrOutcomeUnknown) {
			t.Errorf("after the failed append: %v, want the store to be unavailable and nothing in doubt", err)
		}
		for _, reply := range r.all() {
			if !errors.Is(reply.err, sharedata.ErrStore) || errors.Is(reply.err, sharedata.ErrOutcomeUnknown) != (reply.name == "held") {
				t.Errorf("%s: %v", reply.name, reply.err)
			}
		}
		if len(r.all()) != 2 {
			t.Errorf("%d replies", len(r.all()))
		}
		down = false
		if v, err := m.Propose(t.Context(), proposalFrom("c", "add")); err != nil || !v.Accepted {
			t.Errorf("afterwards: %+v, %v", v, err)
		}
	})
}

// The outcome of every kind of change is unknown where its append failed and the store
// cannot be asked about it.
func TestOutcome_FailedAppendOfAnyChange(t *testing.T) {
	for name, change := range map[string]func(m *sharedata.Manager) error{
		"create": func(m *sharedata.Manager) error {
			_, err := m.Create(context.Background(), "new", Counter{}, add)
			return err
		},
		"update": func(m *sharedata.Manager) error {
			_, err := m.Update(context.Background(), "counter", Counter{5})
			return err
		},
		"update if": func(m *sharedata.Manager) error {
			at, err := m.Get(context.Background(), "counter")
			if err == nil {
				_, err = m.UpdateIf(context.Background(), "counter", at.Cursor, Counter{5})
			}
			return err
		},
		"modify": func(m *sharedata.Manager) error {
			_, err := m.Modify(context.Background(), "counter", plusOne)
			return err
		},
		"remove": func(m *sharedata.Manager) error { return m.Remove(context.Background(), "counter") },
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", stored ", stored), func(t *testing.T) {
				s := newFailingAppend(t)
				m := newCounter(t, &sharedata.Options{Store: s}, 0)
				if _, err := m.Get(t.Context(), "new"); !errors.Is(err, sharedata.ErrUnknownShareData) {
					t.Fatal(err)
				}
				s.fail, s.lost = !stored, stored
				load := s.load
				s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
					defer func() { s.cut = true }() // the load before a create succeeds
					return load(ctx, id, have)
				}
				s.cut = name != "create"
				if err := change(m); !errors.Is(err, sharedata.ErrOutcomeUnknown) || !errors.Is(err, errDisk) {
					t.Errorf("got %v, want ErrOutcomeUnknown and the store's error", err)
				}
			})
		}
	}
}

// Nothing happened where an append failed that was not the proposal's own, or that the
// store refused as invalid: the history is restarted first after a loss, and the store is
// asked with an append whether it was removed.
func TestOutcome_KnownAfterFailedAppend(t *testing.T) {
	for _, test := range []struct {
		name    string
		lose    func(shared *sharedstore.Medium, kept replay.Cursor)
		appends int // up to the one that fails
		err     error
	}{
		{"invalid batch", func(*sharedstore.Medium, replay.Cursor) {}, 1, replay.ErrInvalidBatch},
		{"restart after a rollback", func(shared *sharedstore.Medium, kept replay.Cursor) { shared.Rollback("counter", kept) }, 2, errDisk},
		{"question after a loss", func(shared *sharedstore.Medium, _ replay.Cursor) { shared.Flush() }, 2, errDisk},
		{"restart after a loss", func(shared *sharedstore.Medium, _ replay.Cursor) { shared.Flush() }, 3, errDisk},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := sharedstore.New()
				n, s := newProxiedNode(t, shared)
				kept := ensureCounter(t, n)
				mustObserve(t, n.Manager, "counter", &recorder{})
				n.add(t, 1)
				synctest.Wait()
				time.Sleep(time.Second)
				test.lose(shared, kept.Cursor)
				appends := 0
				s.append = func(ctx context.Context, id string, batch replay.Batch) error {
					if appends++; appends == test.appends {
						return test.err
					}
					return n.process.Append(ctx, id, batch)
				}
				_, err := n.Propose(t.Context(), addition("counter", 1, ""))
				wantStoreError(t, err, "append", "counter", test.err)
				if errors.Is(err, sharedata.ErrOutcomeUnknown) || appends < test.appends {
					t.Errorf("after %d appends: %v, want an error that leaves nothing in doubt", appends, err)
				}
			})
		})
	}
}

// A function's ordinary error is in the log, with what is needed to find its cause,
// and cannot flood it.
func TestLog_FunctionFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		failing := sharedata.NewFunction("failing", func(context.Context, Counter, any) (Counter, error) { return Counter{}, errBroken })
		m := newCounter(t, &sharedata.Options{Logger: logger}, 0, failing)
		p := proposalFrom("connection-7", "failing")
		p.Caller = &sharedata.Caller{Subject: "ann"}
		for range 100 {
			if _, err := m.Propose(t.Context(), p); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		_, _ = m.Propose(t.Context(), p)
		text := log.String()
		for _, part := range []string{"level=WARN", "shareData=counter", "function=failing", "subject=ann", "connection=connection-7", "error=broken", "unlogged=99"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in the log:\n%s", part, text)
			}
		}
		if n := strings.Count(text, "function failed"); n != 2 {
			t.Errorf("101 failures are %d records:\n%s", n, text)
		}
	})
}

// A context that ends while the function runs ends the wait at once. The function
// may still return a state.
func TestOutcome_UnknownDuringEvaluation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := newCounter(t, nil, 0, held("held", g))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := m.Propose(ctx, sharedata.Proposal{ShareDataID: "counter", FunctionID: "held", Data: Add{1}})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		close(g.open)
	})
}
