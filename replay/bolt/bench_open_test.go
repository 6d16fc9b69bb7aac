package bolt_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

// BenchmarkRead reads the newest entries of a history.
func BenchmarkRead(b *testing.B) {
	store, _ := openBench(b, nil)
	a := newAppender("id")
	batch := a.batch
	for range 12_000 / 100 {
		batch.Entries = nil
		at := a.batch.Entries[0].Cursor
		for range 100 {
			entry := a.batch.Entries[0]
			entry.Cursor, at = at, at.Next()
			batch.Entries = append(batch.Entries, entry)
		}
		if err := store.Append(b.Context(), "id", batch); err != nil {
			b.Fatal(err)
		}
		batch.Expect, a.batch.Entries[0].Cursor = batch.Last(), at
	}
	head := batch.Last()
	for _, entries := range []uint64{100, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			b.ReportAllocs()
			after := replay.Cursor{Epoch: head.Epoch, Revision: head.Revision - entries}
			for b.Loop() {
				got, err := store.Read(b.Context(), "id", after, int(entries))
				if err != nil || len(got) != int(entries) {
					b.Fatalf("%d entries, %v", len(got), err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(entries)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	store, _ := openBench(b, nil)
	for i := range 1000 {
		newAppender(fmt.Sprint("id ", i)).append(b, store)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Load(b.Context(), "id 500"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a file of 100,000 histories with 2 entries each, with and
// without the check, and says how large it is and how much memory it takes.
func BenchmarkOpen(b *testing.B) {
	const histories = 100_000
	store, path := openBench(b, nil)
	for i := range histories {
		a := newAppender(fmt.Sprint("history ", i))
		second := a.batch.Entries[0]
		second.Cursor = second.Cursor.Next()
		a.batch.Entries = append(a.batch.Entries, second)
		a.append(b, store)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for _, skip := range []bool{false, true} {
		b.Run(fmt.Sprintf("skip=%t", skip), func(b *testing.B) {
			heap, resident := memory(b)
			for b.Loop() {
				store, err := bolt.Open(path, &bolt.Options{SkipCheck: skip})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if _, err := store.Load(b.Context(), "history 99999"); err != nil {
					b.Fatal(err)
				}
				heapNow, residentNow := memory(b)
				b.ReportMetric(float64(heapNow)-float64(heap), "heap-B")
				b.ReportMetric(float64(residentNow)-float64(resident), "anonymous-B")
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(info.Size())/histories, "file-B/history")
		})
	}
}

// memory is the heap in use, and the memory of the process that is not of a
// file; 0 where the system does not tell.
func memory(b *testing.B) (heap, resident uint64) {
	b.Helper()
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return stats.HeapAlloc, 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "RssAnon:" {
			kilobytes, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			resident = kilobytes << 10
		}
	}
	return stats.HeapAlloc, resident
}
