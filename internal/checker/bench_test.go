package checker_test

import (
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/sharedata"
)

func BenchmarkRecordFrame(b *testing.B) {
	s := checker.NewRecorder().Subscriber("s", "x")
	f := &wire.Transaction{ShareDataID: "x", TransactionID: "1-2", Accepted: true, CurrentState: make([]byte, 256)}
	b.ReportAllocs()
	for n := 0; b.Loop() && n < checker.MaxRecords; n++ {
		s.Frame(f)
	}
}

// BenchmarkCheck evaluates 10 subscribers that received 10,000 entries each.
func BenchmarkCheck(b *testing.B) {
	const revisions = 10_000
	rec := checker.NewRecorder()
	entries := history(1, revisions, unchanged)
	rec.History(entries)
	for range 10 {
		s := rec.Subscriber("s", "x")
		subscriberSteps(s, "subscribe; state 1-1")
		for _, e := range entries[1:] {
			s.Frame(liveFrame(sharedata.Entry{ShareDataID: "x", Cursor: e.Cursor, Type: e.Type, Accepted: true, FunctionID: "set"}, stateAt(e.Cursor.String())))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := rec.Check(checker.Options{Complete: true}); len(v) > 0 {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(10*revisions), "ns/frame")
}
