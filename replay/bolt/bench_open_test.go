package bolt_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

// sizeVariable is the size of the file of BenchmarkOpen, in MiB, if it is not to
// be as large as usual.
const (
	sizeVariable  = "SAFE_BOLT_MIB"
	usualMegabyte = 16
)

// BenchmarkOpen opens an empty file, and one with many histories of 1 to 500
// entries, and says how much memory a store takes.
func BenchmarkOpen(b *testing.B) {
	megabytes := int64(usualMegabyte)
	if text := os.Getenv(sizeVariable); text != "" {
		var err error
		if megabytes, err = strconv.ParseInt(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range []int64{0, megabytes << 20} {
		path, id := benchFile(b, size)
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("MiB=%d", size>>20), func(b *testing.B) {
			heap, anonymous := memory(b)
			for b.Loop() {
				store, err := bolt.Open(path, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := store.Load(b.Context(), id, replay.Cursor{}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				heapNow, anonymousNow := memory(b)
				b.ReportMetric(float64(heapNow)-float64(heap), "heap-B")
				b.ReportMetric(float64(anonymousNow)-float64(anonymous), "anonymous-B")
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(info.Size()), "file-B")
		})
	}
}

// benchFile makes a file of at least the size, and returns the id of one of its
// histories.
func benchFile(b *testing.B, size int64) (path, id string) {
	store, path := openBench(b, nil)
	var work sync.WaitGroup
	for writer := range 64 {
		work.Go(func() {
			for i := 0; ; i++ {
				info, err := os.Stat(path)
				if err != nil {
					b.Error(err)
				}
				if b.Failed() || i > 0 && info.Size() >= size {
					return
				}
				a := newAppender(fmt.Sprintf("history %d of %d", i, writer))
				entries := 1
				if i%2 == 0 && size > 0 {
					entries = 500
				}
				for at := a.batch.Entries[0].Cursor; len(a.batch.Entries) < entries; {
					at = at.Next()
					a.batch.Entries = append(a.batch.Entries, replay.Entry{Cursor: at, Data: make([]byte, 500)})
				}
				a.append(b, store)
			}
		})
	}
	work.Wait()
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	return path, "history 0 of 7"
}

// memory is the heap in use, and the memory of the process that is not of a
// file; 0 where the system does not report it.
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
