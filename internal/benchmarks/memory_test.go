package benchmarks

import (
	"runtime"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// BenchmarkStored measures the memory of this process for stored ShareData: when none
// was used since the start, and when each was used once, with the default bound on
// loaded ShareData, a smaller one and none.
func BenchmarkStored(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n /= 10
	}
	for _, store := range stores {
		b.Run("store="+store.name, func(b *testing.B) {
			before := heap()
			s := store.open(b)
			create(b, newManager(b, s, 1), n) // keeps nothing loaded
			for _, use := range []struct {
				name           string
				maxLoadedBytes int
				each           bool
			}{
				{"unused", 0, false},
				{"used", 0, true},
				{"used/16MiB", 16 << 20, true},
				{"used/unbounded", -1, true},
			} {
				b.Run(use.name, func(b *testing.B) {
					for b.Loop() {
						manager := newManager(b, s, use.maxLoadedBytes)
						if use.each {
							get(b, manager, n)
						}
						b.ReportMetric(float64(heap()-before)/float64(n), "B/shareData")
						mustClose(b, manager)
					}
				})
			}
		})
	}
}

// get reads every ShareData once.
func get(b *testing.B, manager *sharedata.Manager, n int) {
	concurrently(b, n, func(i int) error {
		_, err := manager.Get(b.Context(), idOf(i))
		return err
	})
}

// heap returns the bytes in use after a garbage collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
