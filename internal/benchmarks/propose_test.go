package benchmarks

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPropose measures proposals to one ShareData, and to a thousand at random.
// Each proposer waits for its verdict before it proposes again.
func BenchmarkPropose(b *testing.B) {
	for _, store := range stores {
		for _, spread := range []int{1, 1000} {
			b.Run(fmt.Sprintf("store=%s/shareData=%d", store.name, spread), func(b *testing.B) {
				manager := newManager(b, store.open(b), 0)
				create(b, manager, spread)
				for _, proposers := range []int{1, 16, 256} {
					b.Run(fmt.Sprintf("proposers=%d", proposers), func(b *testing.B) {
						var left atomic.Int64
						left.Store(int64(b.N))
						b.ReportAllocs()
						b.ResetTimer()
						var wait sync.WaitGroup
						for range proposers {
							wait.Go(func() {
								for left.Add(-1) >= 0 {
									if err := proposeError(manager.Propose(b.Context(), proposal(idOf(rand.IntN(spread))))); err != nil {
										b.Error(err)
										return
									}
								}
							})
						}
						wait.Wait()
						b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
					})
				}
			})
		}
	}
}
