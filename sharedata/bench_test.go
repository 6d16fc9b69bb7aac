package sharedata_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

func newCounters(b *testing.B, n int) *sharedata.Manager {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { manager.Close() })
	add := sharedata.NewFunction("add", func(_ context.Context, c Counter, in Add) (Counter, error) {
		c.Value += in.By
		return c, nil
	})
	for i := range n {
		if _, err := manager.Create(b.Context(), fmt.Sprint("counter-", i), Counter{}, add); err != nil {
			b.Fatal(err)
		}
	}
	return manager
}

// BenchmarkPropose is one proposal after the other, nobody subscribed.
func BenchmarkPropose(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("idempotencyKey=%v", keyed), func(b *testing.B) {
			manager := newCounters(b, 1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p := sharedata.Proposal{ShareDataID: "counter-0", FunctionID: "add", Data: Add{By: 1}}
				if keyed {
					p.IdempotencyKey = fmt.Sprint("key-", i)
				}
				if v, err := manager.Propose(b.Context(), p); err != nil || !v.Accepted {
					b.Fatal(v, err)
				}
			}
		})
	}
}

// BenchmarkProposeConcurrently has many proposers on one ShareData, whose
// proposals share commits, and on as many ShareData as there are proposers.
func BenchmarkProposeConcurrently(b *testing.B) {
	for _, spread := range []int{1, 64} {
		b.Run(fmt.Sprintf("proposers=64/shareData=%d", spread), func(b *testing.B) {
			manager := newCounters(b, spread)
			var proposer atomic.Int64
			b.SetParallelism(32) // times GOMAXPROCS
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				id := fmt.Sprint("counter-", proposer.Add(1)%int64(spread))
				for pb.Next() {
					p := sharedata.Proposal{ShareDataID: id, FunctionID: "add", Data: Add{By: 1}}
					if v, err := manager.Propose(b.Context(), p); err != nil || !v.Accepted {
						b.Error(v, err)
						return
					}
				}
			})
		})
	}
}
