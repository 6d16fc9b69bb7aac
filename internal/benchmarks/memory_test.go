package benchmarks

import (
	"runtime"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// BenchmarkStored is the memory of this process for ShareData that are stored:
// when none of them was used since the start, and when each was used once, with
// the default bound on what is loaded and without one.
func BenchmarkStored(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n /= 10
	}
	for _, store := range stores {
		b.Run("store="+store.name, func(b *testing.B) {
			before := heap()
			s := store.open(b)
			create(b, newManager(b, s, 1), n) // unloads each at once
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
						closeIt(b, manager)
					}
				})
			}
		})
	}
}

// get looks at every ShareData once.
func get(b *testing.B, manager *sharedata.Manager, n int) {
	each(b, n, func(i int) error {
		_, err := manager.Get(b.Context(), idOf(i))
		return err
	})
}

// heap is the memory in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
