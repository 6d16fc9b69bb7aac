package replay_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/replay"
)

// appender appends batches of one length to one id.
type appender struct {
	id    string
	batch replay.Batch
}

func newAppender(id string, entries int) *appender {
	a := &appender{id: id}
	data := make([]byte, 256)
	cursor := replay.Cursor{Epoch: 1}
	for range entries {
		cursor = cursor.Next()
		a.batch.Entries = append(a.batch.Entries, replay.Entry{Cursor: cursor, Data: data})
	}
	a.batch.Snapshot = make([]byte, 256)
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

func BenchmarkMemoryAppend(b *testing.B) {
	for _, entries := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", entries), func(b *testing.B) {
			m, a := newMemory(b, nil), newAppender("id", entries)
			b.ReportAllocs()
			for b.Loop() {
				a.append(b, m)
			}
			b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkMemoryAppendParallelIDs(b *testing.B) {
	m := newMemory(b, nil)
	var ids atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		a := newAppender(fmt.Sprint("id ", ids.Add(1)), 1)
		for pb.Next() {
			a.append(b, m)
		}
	})
}

func BenchmarkMemoryRead100(b *testing.B) {
	m, a := newMemory(b, nil), newAppender("id", 1000)
	a.append(b, m)
	b.ReportAllocs()
	for b.Loop() {
		entries, err := m.Read(b.Context(), "id", replay.Cursor{Epoch: 1, Revision: 900}, 100)
		if err != nil || len(entries) != 100 {
			b.Fatalf("%d entries, %v", len(entries), err)
		}
	}
}

func BenchmarkMemoryLoad(b *testing.B) {
	m, a := newMemory(b, nil), newAppender("id", 10)
	a.append(b, m)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Load(b.Context(), "id", replay.Cursor{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryStartAndRemove(b *testing.B) {
	m := newMemory(b, nil)
	var epoch uint64
	b.ReportAllocs()
	for b.Loop() {
		epoch++
		if err := startAndRemove(b, m, "id", epoch); err != nil {
			b.Fatal(err)
		}
	}
}
