package audit_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// benchmarkExport reports entries per second for checking an export.
func benchmarkExport(b *testing.B, check func(io.Reader) error) {
	const entries = 100_000
	export := exportOf(entries)
	b.SetBytes(int64(len(export)))
	b.ReportAllocs()
	for b.Loop() {
		if err := check(bytes.NewReader(export)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkVerify is what an auditor does with an export.
func BenchmarkVerify(b *testing.B) {
	benchmarkExport(b, func(r io.Reader) error {
		_, err := audit.Verify(r, nil)
		return err
	})
}

// BenchmarkReadEntries_Verify computes each hash twice: from the line, and again from
// the entry.
func BenchmarkReadEntries_Verify(b *testing.B) {
	benchmarkExport(b, func(r io.Reader) error {
		_, err := sharedata.Verify(audit.ReadEntries(r, nil))
		return err
	})
}

func BenchmarkParseEntry(b *testing.B) {
	lines := bytes.Split(exportOf(2), []byte("\n"))
	b.SetBytes(int64(len(lines[1])))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sharedata.ParseEntry(lines[1]); err != nil {
			b.Fatal(err)
		}
	}
}
