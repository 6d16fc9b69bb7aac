package audit_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// Whatever is read is written as the same bytes, and everything else is an error that
// names its line. Verify never accepts what ReadEntries refuses.
func FuzzReadEntries(f *testing.F) {
	keys := publicKeys(f, newSigner(f, ed25519Key))
	f.Add(exportOf(3))
	f.Fuzz(func(t *testing.T, export []byte) {
		checkReading(t, export, keys)
		// With the right hash, every text that is canonical is accepted.
		body, _, _ := strings.Cut(string(export), `,"previous"`)
		line, _ := sealed(body, noHash)
		checkReading(t, []byte(line+"\n"), keys)
	})
}

func checkReading(t *testing.T, export []byte, keys jwk.Set) {
	const maxLine = 2000
	var entries int
	var written, read []byte
	for line := range bytes.Lines(export) {
		if !bytes.HasPrefix(line, []byte(`{"checkpoint"`)) {
			read = append(read, line...)
		}
	}
	var failed error
	for e, err := range audit.ReadEntries(bytes.NewReader(export), &audit.ReadOptions{MaxLineBytes: maxLine}) {
		if failed = err; failed != nil {
			break
		}
		text, err := e.MarshalJSON()
		if err != nil || len(text) > maxLine {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		written = append(append(written, text...), '\n')
		entries++
	}
	if !bytes.HasPrefix(read, written) || failed == nil && len(read) != len(written) {
		t.Errorf("read\n%s\nand written\n%s", read, written)
	}
	if problem, ok := errors.AsType[*audit.Error](failed); failed != nil && (!ok || problem.Line <= entries) {
		t.Errorf("after %d entries: %v", entries, failed)
	}
	report, err := audit.Verify(bytes.NewReader(export), &audit.Options{Keys: keys, MaxLineBytes: maxLine})
	if err == nil && (failed != nil || report.Entries != entries) || report.Entries > entries {
		t.Errorf("verified %d of %d entries, %v; read %v", report.Entries, entries, err, failed)
	}
	chain, broken := sharedata.Verify(audit.ReadEntries(bytes.NewReader(export), &audit.ReadOptions{MaxLineBytes: maxLine}))
	if len(read) == len(export) && (err == nil) != (broken == nil) || err == nil && chain != report.Chain {
		t.Errorf("verified as %+v, %v; its entries as %+v, %v", report, err, chain, broken)
	}
}
