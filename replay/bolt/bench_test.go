package bolt_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

// appender appends one entry after another to one id.
type appender struct {
	id    string
	batch replay.Batch
	meta  [32]byte
	// state is replaced by a snapshot when as many bytes of entries were appended;
	// empty for no snapshot but the first.
	state    []byte
	appended int
}

func newAppender(id string) *appender {
	a := &appender{id: id}
	a.batch.Meta = a.meta[:]
	a.batch.Entries = []replay.Entry{{
		Cursor: replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1},
		Data:   make([]byte, 512),
	}}
	return a
}

func (a *appender) append(b *testing.B, store replay.Store) {
	a.batch.Snapshot = nil
	if a.batch.Expect.IsZero() {
		a.batch.Snapshot = make([]byte, 256)
	}
	if a.appended += len(a.batch.Entries[0].Data); len(a.state) > 0 && (a.appended > len(a.state) || a.batch.Expect.IsZero()) {
		a.state = bytes.Repeat([]byte{byte(a.batch.Expect.Revision), a.state[0]}, len(a.state)/2) // no part stays as it was
		a.batch.Snapshot, a.appended = a.state, 0
	}
	if err := store.Append(b.Context(), a.id, a.batch); err != nil {
		b.Error(err)
	}
	entry := a.batch.Entries[0]
	a.batch.Expect = entry.Cursor
	entry.Cursor = entry.Cursor.Next()
	a.batch.Entries = []replay.Entry{entry}
}

func openBench(b *testing.B, options *bolt.Options) (*bolt.Store, string) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "histories.db")
	store, err := bolt.Open(path, options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	return store, path
}

// appenders are some that each write to an id of its own, and wait for the result
// before the next append. Their state has that many bytes.
func appenders(n, stateBytes int) []*appender {
	all := make([]*appender, n)
	for i := range all {
		all[i] = newAppender(fmt.Sprint("id ", i))
		all[i].state = make([]byte, stateBytes)
	}
	return all
}

// appendAll has the appenders append that many entries together.
func appendAll(b *testing.B, store replay.Store, all []*appender, entries int) {
	var left atomic.Int64
	left.Store(int64(entries))
	var work sync.WaitGroup
	for _, a := range all {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				a.append(b, store)
			}
		})
	}
	work.Wait()
}

// BenchmarkAppend appends without a snapshot but the first.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("appenders=%d", n), func(b *testing.B) {
			store, _ := openBench(b, nil)
			b.ReportAllocs()
			b.ResetTimer()
			appendAll(b, store, appenders(n, 0), b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkAppend_LargeState appends to histories with a state of 128 bytes and of
// 256 KiB, and says how much longer the second takes. It takes them by turns,
// because the disk has other users.
func BenchmarkAppend_LargeState(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprintf("appenders=%d", n), func(b *testing.B) {
			const turns = 20
			var stores [2]*bolt.Store
			var all [2][]*appender
			var took [2]time.Duration
			for i, stateBytes := range []int{128, 256 << 10} {
				stores[i], _ = openBench(b, nil)
				all[i] = appenders(n, stateBytes)
			}
			for range turns {
				for i := range stores {
					start := time.Now()
					appendAll(b, stores[i], all[i], (b.N+turns-1)/turns)
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "small-us/op")
			b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "large-us/op")
			b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRead reads the newest entries of a history.
func BenchmarkRead(b *testing.B) {
	store, _ := openBench(b, nil)
	a := newAppender("id")
	batch := a.batch
	batch.Snapshot = make([]byte, 256)
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
		batch.Snapshot = nil
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
		if _, err := store.Load(b.Context(), "id 500", replay.Cursor{}); err != nil {
			b.Fatal(err)
		}
	}
}
