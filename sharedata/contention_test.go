package sharedata_test

import (
	"context"
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

// distant makes the store of a process take its time, the same for the way there
// and back, more or less.
func distant(p *sharedstore.Process, latency time.Duration, seed uint64) *proxy {
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
	s.load = func(ctx context.Context, id string) (replay.Head, error) {
		travel()
		defer travel()
		return p.Load(ctx, id)
	}
	s.read = func(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
		travel()
		defer travel()
		return p.Read(ctx, id, after, limit)
	}
	return s
}

// contend has three proposers at each process propose for so long, and checks
// that each revision is decided once, and told once to observers everywhere. It
// returns how many proposals of each process were accepted.
func contend(t *testing.T, latencies []time.Duration, observed bool, long time.Duration) []int64 {
	shared := sharedstore.New()
	accepted := make([]int64, len(latencies))
	recorders := make([]recorder, len(latencies))
	snapshots := make([]sharedata.Snapshot, len(latencies))
	nodes := make([]node, len(latencies))
	for i, latency := range latencies {
		process := shared.Process()
		nodes[i] = newNode(t, process, &sharedata.Options{Store: distant(process, latency, uint64(i))})
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
			t.Errorf("process %d was told of %d entries, want %d", i, n, len(decided))
		}
	}
	return accepted
}

// However many processes contend for however long, each of them makes progress.
func TestEveryProcessMakesProgressUnderContention(t *testing.T) {
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

// Also one that is farther from the store than the others, and so always comes
// second where nobody waits for it.
func TestAProcessThatIsFartherMakesProgressUnderContention(t *testing.T) {
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
