package sharedata_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// withLatency returns the store of a process with a latency that varies by half, once
// for the request and once for the reply.
func withLatency(p *sharedstore.Process, latency time.Duration, seed uint64) *proxy {
	s := newProxy(p)
	random := rand.New(rand.NewPCG(seed, 7))
	var mu sync.Mutex
	travel := func() {
		mu.Lock()
		jitter := random.Float64()
		mu.Unlock()
		time.Sleep(time.Duration(float64(latency) * (0.5 + jitter)))
	}
	s.append = func(ctx context.Context, id string, batch replay.Batch) error {
		travel()
		defer travel()
		return p.Append(ctx, id, batch)
	}
	s.load = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		travel()
		defer travel()
		return p.Load(ctx, id, have)
	}
	s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		travel()
		defer travel()
		return p.Read(ctx, id, after, limit)
	}
	return s
}

// contend has three proposers at each process propose for a time. It checks that each
// revision is decided once and that the observers at each process are notified of it
// once, and returns how many proposals of each process were accepted.
func contend(t *testing.T, latencies []time.Duration, observed bool, long time.Duration) []int64 {
	shared := sharedstore.New()
	accepted := make([]int64, len(latencies))
	recorders := make([]recorder, len(latencies))
	snapshots := make([]sharedata.Snapshot, len(latencies))
	nodes := make([]node, len(latencies))
	for i, latency := range latencies {
		process := shared.Process()
		nodes[i] = newNode(t, process, &sharedata.Options{Store: withLatency(process, latency, uint64(i))})
		ensureCounter(t, nodes[i])
	}
	for i, n := range nodes {
		if observed {
			snapshots[i], _ = mustObserve(t, n.Manager, "counter", &recorders[i])
		}
	}
	var mu sync.Mutex
	decided := make(map[replay.Cursor]bool)
	end := time.Now().Add(long)
	var wait sync.WaitGroup
	for i, n := range nodes {
		for range 3 {
			wait.Go(func() {
				for time.Now().Before(end) {
					v, err := n.Propose(context.Background(), addition("counter", 1, ""))
					if err != nil || !v.Accepted {
						t.Errorf("process %d: %+v, %v", i, v, err)
						return
					}
					mu.Lock()
					accepted[i]++
					if decided[v.Cursor] {
						t.Errorf("two proposals at %s", v.Cursor)
					}
					decided[v.Cursor] = true
					mu.Unlock()
				}
			})
		}
	}
	wait.Wait()
	wantState(t, nodes[0].Manager, "counter", fmt.Sprintf(`{"value":%d}`, len(decided)))
	synctest.Wait()
	for i := range nodes {
		if !observed {
			continue
		}
		wantContinuous(t, snapshots[i], recorders[i].all())
		if n := len(recorders[i].all()); n != len(decided) {
			t.Errorf("process %d was notified of %d entries, want %d", i, n, len(decided))
		}
	}
	return accepted
}

// However many processes contend, each of them gets a share of the commits.
func TestContention_Progress(t *testing.T) {
	for _, observed := range []bool{false, true} {
		for _, processes := range []int{2, 6} {
			t.Run(fmt.Sprint(processes, " processes, observed ", observed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					latencies := slices.Repeat([]time.Duration{time.Millisecond}, processes)
					accepted := contend(t, latencies, observed, time.Second)
					var total int64
					for _, n := range accepted {
						total += n
					}
					for i, n := range accepted {
						if n < total/int64(10*processes) {
							t.Errorf("process %d had %d of %d proposals accepted", i, n, total)
						}
					}
					t.Logf("accepted %d", accepted)
				})
			})
		}
	}
}

// A process with a higher latency to the store would always come second without
// reservations.
func TestContention_SlowProcessProgresses(t *testing.T) {
	near := time.Millisecond
	for _, latencies := range [][]time.Duration{
		{near, 2 * near},
		{near, 8 * near},
		{near, near, near, 4 * near},
		{near, 3 * near, 9 * near},
	} {
		t.Run(fmt.Sprint(latencies), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				accepted := contend(t, latencies, false, 2*time.Second)
				t.Logf("accepted %d", accepted)
				for i, n := range accepted {
					if n < 10 {
						t.Errorf("process %d had %d proposals accepted in 2 s", i, n)
					}
				}
			})
		})
	}
}

// reserveNext has a process reserve the next append to "counter", and not append.
func reserveNext(t *testing.T, process *sharedstore.Process, at replay.Cursor) {
	t.Helper()
	at.Revision += 1000
	err := process.Append(t.Context(), "counter", replay.Batch{
		Expect: at, Entries: []replay.Entry{{Cursor: at.Next(), Data: []byte("none")}}, Reserve: time.Second,
	})
	if !errors.Is(err, replay.ErrConflict) {
		t.Fatal(err)
	}
}

// A reservation that its process does not use costs the others its duration, and the
// store no loads.
func TestReservation_ExpiresUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, _, b := twoNodes(t)
		reserveNext(t, shared.Process(), b.get(t).Cursor)
		begin := time.Now()
		loads := b.calls("Load", func() { b.add(t, 1) })
		if took := time.Since(begin); took < 900*time.Millisecond || took > 1100*time.Millisecond || loads != 0 {
			t.Errorf("it took %v and %d loads", took, loads)
		}
	})
}

// The restart of an epoch waits for another process's reservation at most as long as
// it lasts.
func TestReservation_RestartWaitsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, a, b := twoNodes(t)
		kept := a.get(t)
		a.add(t, 1)
		b.refresh(t)
		shared.Rollback("counter", kept.Cursor)
		reserveNext(t, shared.Process(), kept.Cursor)
		begin := time.Now()
		if got := b.refresh(t); got.Cursor.Epoch <= kept.Cursor.Epoch || time.Since(begin) > 2*time.Second {
			t.Errorf("after %v it is at %s", time.Since(begin), got.Cursor)
		}
		wantRestarted(t, b, kept.Cursor)
	})
}
