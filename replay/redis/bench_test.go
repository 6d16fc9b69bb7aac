package redis

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// benchmarked returns a store on a server that has what it acknowledges on disk.
func benchmarked(b *testing.B) *Store {
	b.Helper()
	return open(b, redistest.Start(b, nil).Client(), nil)
}

// appender appends batches of one length to one id.
type appender struct {
	id    string
	batch replay.Batch
}

func newAppender(id string, entries int) *appender {
	a := &appender{id: id, batch: replay.Batch{Snapshot: make([]byte, 256)}}
	data := make([]byte, 256)
	cursor := replay.Cursor{Epoch: replay.NewEpoch(0)}
	for range entries {
		cursor = cursor.Next()
		a.batch.Entries = append(a.batch.Entries, replay.Entry{Cursor: cursor, Data: data})
	}
	return a
}

func (a *appender) append(b *testing.B, store replay.Store) {
	if err := store.Append(b.Context(), a.id, a.batch); err != nil {
		b.Error(err)
	}
	a.batch.Expect = a.batch.Last()
	for i := range a.batch.Entries {
		a.batch.Entries[i].Cursor.Revision += uint64(len(a.batch.Entries))
	}
}

func BenchmarkAppend_ManyIDs(b *testing.B) {
	for _, appenders := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("appenders=%d", appenders), func(b *testing.B) {
			s := benchmarked(b)
			each := make([]*appender, appenders)
			for i := range each {
				each[i] = newAppender(fmt.Sprint("id ", i), 1)
				each[i].append(b, s)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wait sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for _, a := range each {
				wait.Go(func() {
					for left.Add(-1) >= 0 {
						a.append(b, s)
					}
				})
			}
			wait.Wait()
		})
	}
}

func BenchmarkAppend_OneID(b *testing.B) {
	for _, entries := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", entries), func(b *testing.B) {
			s, a := benchmarked(b), newAppender("id", entries)
			b.ReportAllocs()
			for b.Loop() {
				a.append(b, s)
			}
			b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, entries := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			s, a := benchmarked(b), newAppender("id", 1000)
			for range 10 {
				a.append(b, s)
			}
			after := a.batch.Expect
			after.Revision -= uint64(entries)
			b.ReportAllocs()
			for b.Loop() {
				read, err := s.Read(b.Context(), "id", after, entries)
				if err != nil || len(read) != entries {
					b.Fatalf("%d entries, %v", len(read), err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	s, a := benchmarked(b), newAppender("id", 10)
	a.append(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(b.Context(), "id", replay.Cursor{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad_NotFound(b *testing.B) {
	s := benchmarked(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(b.Context(), "id", replay.Cursor{}); err == nil {
			b.Fatal("there is a history")
		}
	}
}

func BenchmarkLoad_Unreachable(b *testing.B) {
	server := redistest.Start(b, nil)
	s := open(b, server.Client(), nil)
	server.Kill()
	if _, err := s.Load(b.Context(), "id", replay.Cursor{}); err == nil {
		b.Fatal("a stopped server replies")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(b.Context(), "id", replay.Cursor{}); err == nil {
			b.Fatal("a server that is gone answers")
		}
	}
}

// BenchmarkFollow follows one more history per iteration, and waits until all are
// notified. For how it does with many, run it with -benchtime 100000x.
func BenchmarkFollow(b *testing.B) {
	s := open(b, redistest.Start(b, nil).Client(), &Options{CheckInterval: -1})
	ids := make([]string, b.N)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	var waiting atomic.Int64
	waiting.Store(int64(b.N))
	done := make(chan struct{})
	notify := func([]replay.Entry) {
		if waiting.Add(-1) == 0 {
			close(done)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for _, id := range ids {
		s.Follow(id, notify)
	}
	<-done
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "bytes/follow")
	runtime.KeepAlive(ids)
}

// BenchmarkAnnouncement appends to a history and waits until another store is
// notified.
func BenchmarkAnnouncement(b *testing.B) {
	server := redistest.Start(b, &redistest.Options{Fsync: "no"})
	s, other := open(b, server.Client(), nil), open(b, server.Client(), nil)
	notified := make(chan struct{}, 1)
	stop := other.Follow("id", func([]replay.Entry) { notified <- struct{}{} })
	defer stop()
	<-notified
	a := newAppender("id", 1)
	for b.Loop() {
		a.append(b, s)
		<-notified
	}
}
