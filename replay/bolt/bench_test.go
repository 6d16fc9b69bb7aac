package bolt_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

// appender appends one entry after another to one id.
type appender struct {
	id    string
	batch replay.Batch
	meta  [32]byte
}

func newAppender(id string) *appender {
	a := &appender{id: id}
	a.batch.Meta = a.meta[:]
	a.batch.Entries = []replay.Entry{{
		Cursor: replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1},
		Data:   make([]byte, 256),
		State:  make([]byte, 256),
	}}
	return a
}

func (a *appender) append(b *testing.B, store replay.Store) {
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

// BenchmarkAppend has each appender write to an id of its own, and wait for
// the result before the next append.
func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("appenders=%d", appenders), func(b *testing.B) {
			store, _ := openBench(b, nil)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var work sync.WaitGroup
			for i := range appenders {
				work.Go(func() {
					for a := newAppender(fmt.Sprint("id ", i)); left.Add(-1) >= 0; {
						a.append(b, store)
					}
				})
			}
			work.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

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
		if _, err := store.Load(b.Context(), "id 500", replay.Cursor{}); err != nil {
			b.Fatal(err)
		}
	}
}
