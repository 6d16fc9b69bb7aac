package schedule

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// BenchmarkWaiting reports what 100,000 proposals that wait cost: bytes each, beside the
// bytes of their data, and goroutines in all; and what one more costs then.
func BenchmarkWaiting(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 1000
	}
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer manager.Close()
	s, err := New(manager, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	data := strings.Repeat("x", 100)
	one := func(i int) Proposal {
		return Proposal{ID: fmt.Sprint(i), At: time.Now().Add(time.Hour), ShareDataID: "list", FunctionID: "add", Data: data}
	}
	if _, err := s.Schedule(ctx, one(0)); err != nil {
		b.Fatal(err)
	}
	bytesBefore, goroutines := liveHeap(), runtime.NumGoroutine()
	var all []Proposal
	for i := range n {
		all = append(all, one(i+1))
	}
	if _, err := s.ScheduleAll(ctx, all); err != nil {
		b.Fatal(err)
	}
	all = nil
	bytes := liveHeap() - bytesBefore
	goroutines = runtime.NumGoroutine() - goroutines
	b.ResetTimer()
	for i := range b.N {
		if _, err := s.Schedule(ctx, one(n+1+i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)/float64(n), "B/waiting")
	b.ReportMetric(float64(goroutines), "goroutines")
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
