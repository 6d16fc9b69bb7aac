package benchmarks

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay/redis"
	"github.com/safe-go/safe/sharedata"
)

// BenchmarkContention measures proposals to one ShareData by several managers that
// share a Redis server. least-share is the share of the manager with the fewest
// accepted proposals, relative to an equal share.
func BenchmarkContention(b *testing.B) {
	for _, processes := range []int{1, 3, 8} {
		b.Run(fmt.Sprintf("managers=%d", processes), func(b *testing.B) {
			server := redistest.Start(b, &redistest.Options{Fsync: "everysec"})
			managers := make([]*sharedata.Manager, processes)
			for i := range managers {
				store, err := redis.New(server.Client(), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { mustClose(b, store) })
				managers[i] = newManager(b, store, 0)
			}
			create(b, managers[0], 1)
			accepted := make([]atomic.Int64, processes)
			var left atomic.Int64
			left.Store(int64(b.N))
			var longest atomic.Int64
			b.ResetTimer()
			var wait sync.WaitGroup
			for i, manager := range managers {
				for range 16 {
					wait.Go(func() {
						for left.Add(-1) >= 0 {
							begin := time.Now()
							if err := proposeError(manager.Propose(b.Context(), proposal(idOf(0)))); err != nil {
								b.Error(err)
								return
							}
							accepted[i].Add(1)
							for took, most := int64(time.Since(begin)), longest.Load(); took > most && !longest.CompareAndSwap(most, took); {
								most = longest.Load()
							}
						}
					})
				}
			}
			wait.Wait()
			least := accepted[0].Load()
			for i := range accepted {
				least = min(least, accepted[i].Load())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
			b.ReportMetric(float64(least)*float64(processes)/float64(b.N), "least-share")
			b.ReportMetric(float64(longest.Load())/1e6, "ms-longest")
		})
	}
}
