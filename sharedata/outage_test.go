package sharedata_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// When a store is available again, everything that is followed is refreshed, but not
// all at once.
func TestOutage_RefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 300
		shared := sharedstore.New()
		a := newNode(t, shared.Process(), nil)
		b, s := newProxiedNode(t, shared)
		recorders := make([]recorder, many)
		for i := range many {
			createCounter(t, a.Manager, fmt.Sprint(i), 0)
			mustObserve(t, b.Manager, fmt.Sprint(i), &recorders[i])
		}
		synctest.Wait()
		b.process.SetReachable(false)
		for i := range many {
			mustAdd(t, a.Manager, fmt.Sprint(i), 1)
		}
		var now, most atomic.Int64
		s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			return b.process.Load(ctx, id, have)
		}
		b.process.SetReachable(true)
		advance(time.Minute)
		for i := range recorders {
			if n := len(recorders[i].all()); n != 1 {
				t.Fatalf("the observer of %d was notified of %d entries", i, n)
			}
		}
		if n := most.Load(); n > 100 || n < 10 {
			t.Errorf("%d loads at the same time", n)
		}
	})
}

// While the store is unavailable every proposal fails. The log has one record for
// many.
func TestOutage_LogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := newNode(t, sharedstore.New().Process(), &sharedata.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ensureCounter(t, n)
		n.process.SetReachable(false)
		for range 3 {
			for range 1000 {
				_, err := n.Propose(t.Context(), addition("counter", 1, ""))
				if err == nil {
					t.Fatal("it was accepted")
				}
			}
			time.Sleep(time.Minute)
		}
		lines := strings.Count(log.String(), "\n")
		if lines == 0 || lines > 10 {
			t.Errorf("%d lines in the log", lines)
		}
		if !strings.Contains(log.String(), "unlogged=999") && !strings.Contains(log.String(), "unlogged=1999") {
			t.Errorf("it does not say how many records were left out:\n%s", log.String())
		}
	})
}

// Proposals fail at once where the store says at once that it is unavailable.
func TestOutage_ProposalsFailAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := twoNodes(t)
		var seen recorder
		snapshot, _ := mustObserve(t, b.Manager, "counter", &seen)
		synctest.Wait()
		for range 3 {
			b.process.SetReachable(false)
			begin := time.Now()
			for i := range 20 {
				_, err := b.Propose(t.Context(), addition("counter", 1, fmt.Sprint("lost ", i)))
				wantStoreError(t, err, map[bool]string{true: "append", false: "load"}[i == 0], "counter", replay.ErrUnavailable)
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("it took %v", took)
			}
			a.add(t, 1)
			b.process.SetReachable(true)
			b.add(t, 1) // without a further call
			advance(time.Minute)
		}
		wantContinuous(t, snapshot, seen.all())
		wantState(t, b.Manager, "counter", `{"value":6}`)
	})
}

// Different ShareData do not wait for each other's refreshes, also while loads hang.
func TestOutage_ProposalsDoNotQueueForRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 300
		n, s := newProxiedNode(t, sharedstore.New())
		for i := range many {
			createCounter(t, n.Manager, fmt.Sprint(i), 0)
			mustObserve(t, n.Manager, fmt.Sprint(i), &recorder{})
		}
		synctest.Wait()
		s.load = func(ctx context.Context, _ string, have replay.Cursor) (replay.Head, error) {
			<-ctx.Done() // loads hang, appends do not
			return replay.Head{}, ctx.Err()
		}
		n.process.SetReachable(false)
		n.process.SetReachable(true) // all are refreshed
		synctest.Wait()
		begin := time.Now()
		replied := make(chan time.Duration, many)
		for i := range many {
			n.Submit(t.Context(), addition(fmt.Sprint(i), 1, ""), func(_ sharedata.Verdict, err error) {
				if err != nil {
					t.Error(err)
				}
				replied <- time.Since(begin)
			})
		}
		slowest := time.Duration(0)
		for range many {
			slowest = max(slowest, <-replied)
		}
		if slowest > 11*time.Second { // one load takes 10 s
			t.Errorf("the slowest proposal took %v", slowest)
		}
	})
}
