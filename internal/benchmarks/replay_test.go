package benchmarks

import (
	"fmt"
	"testing"

	"github.com/safe-go/safe/replay"
)

// BenchmarkReplay reads the entries after a cursor from the store.
func BenchmarkReplay(b *testing.B) {
	for _, store := range stores {
		b.Run("store="+store.name, func(b *testing.B) {
			const longest = 10_000
			manager := newManager(b, store.open(b), 0)
			create(b, manager, 1)
			add(b, manager, idOf(0), longest)
			at, err := manager.Get(b.Context(), idOf(0))
			if err != nil {
				b.Fatal(err)
			}
			for _, entries := range []uint64{100, longest} {
				b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
					after := replay.Cursor{Epoch: at.Cursor.Epoch, Revision: at.Cursor.Revision - entries}
					b.ReportAllocs()
					for b.Loop() {
						n := uint64(0)
						for _, err := range manager.History(b.Context(), idOf(0), after) {
							if err != nil {
								b.Fatal(err)
							}
							n++
						}
						if n != entries {
							b.Fatalf("%d entries were replayed", n)
						}
					}
					b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
				})
			}
		})
	}
}
