package audit_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata/audit"
)

// document returns the code blocks of docs/audit.md of one language.
func document(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

func TestDocument_Vectors(t *testing.T) {
	export, keys := document(t, "jsonl"), document(t, "json")
	if len(export) != 1 || len(keys) != 2 {
		t.Fatalf("%d and %d blocks", len(export), len(keys))
	}
	set, err := jwk.ParseString(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(strings.NewReader(export[0]), &audit.Options{ShareDataID: "till-1", Keys: set, RequireStart: true, RequireFinal: true})
	if err != nil || report.Entries != 6 || report.CheckpointsInExport != 1 || !report.Chain.Removed {
		t.Errorf("%+v, %v", report, err)
	}
	// Ed25519 signatures are always the same (RFC 8032 section 5.1.6), so that a
	// signer of the same key writes the same checkpoint.
	again, err := newSigner(t, ed25519Key).Sign("till-1", report.Newest.Cursor, report.Newest.Hash, report.Newest.Time)
	if err != nil || again != report.Newest {
		t.Errorf("%+v, %v; the document has %+v", again, err, report.Newest)
	}
}

// The hash is computed as the document says: without this module.
func TestDocument_Hashes(t *testing.T) {
	lines := append(strings.SplitAfter(document(t, "jsonl")[0], "\n")[:6], document(t, "json")[1])
	for _, line := range lines {
		body, previous, found := strings.Cut(line, `,"previous":"`)
		if text, _ := sealed(body, previous[:64]); !found || text+"\n" != line {
			t.Errorf("the hash is not that of the contents: %s", line)
		}
	}
}

// The commands of the document check one entry.
func TestDocument_Commands(t *testing.T) {
	for _, program := range []string{"sh", "sed", "tr", "sha256sum", "cut", "tail"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	folder := t.TempDir()
	run := func(export string) bool {
		if err := os.WriteFile(filepath.Join(folder, "export.jsonl"), []byte(export), 0o600); err != nil {
			t.Fatal(err)
		}
		output, err := shell(t.Context(), folder, document(t, "sh")[0])
		got := strings.Fields(output)
		if err != nil || len(got) != 2 || len(got[0]) != 64 || len(got[1]) != 64 {
			t.Fatalf("%v: %s", err, output)
		}
		return got[0] == got[1]
	}
	export := document(t, "jsonl")[0]
	if !run(export) {
		t.Error("line 3 does not have its hash")
	}
	if run(strings.Replace(export, `"by":-9`, `"by":-8`, 1)) {
		t.Error("a changed entry has its hash")
	}
}

func shell(ctx context.Context, folder, script string) (string, error) {
	command := exec.CommandContext(ctx, "sh", "-c", script)
	command.Dir = folder
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}
