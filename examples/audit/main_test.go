package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demonstration fails if a tampering is not found; here is what must be found.
func TestRun_Demonstration(t *testing.T) {
	var out bytes.Buffer
	folder := t.TempDir()
	if err := run(t.Context(), []string{"-dir", folder, "-entries", "20500"}, &out); err != nil {
		t.Fatal(err, out.String())
	}
	found := make(map[string]string)
	for part := range strings.SplitSeq(out.String(), "\n- ") {
		name, problem, _ := strings.Cut(part, "\n  ")
		found[name] = problem
	}
	for name, want := range map[string][]string{
		"a field is changed":                                    {"line 5:", "-5: its hash is not that of its contents"},
		"a field is changed, and its hash computed again":       {"line 6:", "-6: it does not refer to the entry before"},
		"a rejection is turned into an acceptance":              {"line 4:", "-4: its hash"},
		"an entry is removed":                                   {"line 5:", "-6: it follows", "-5 is missing"},
		"an entry is inserted":                                  {"line 6:", "-5: it follows", "inserted"},
		"an entry is repeated":                                  {"line 5:", "-4: it follows", "repeated"},
		"two entries are swapped":                               {"line 4:", "-5: it follows"},
		"the end is removed, but for the checkpoint":            {"line 8: truncated", "-10", "-7"},
		"the end is removed, with the checkpoint":               {"line 8: truncated", "the export ends at", "-7"},
		"the file is cut off in the middle of an entry":         {"line 8:", "truncated", "-7"},
		"the start is removed":                                  {"line 1: the start is missing", "-4, after"},
		"the same, without the checkpoint":                      {"rewritten: the entry at"},
		"an entry is changed, and all later ones chained again": {"rewritten: the entry at", "another hash than in the checkpoint"},
	} {
		for _, text := range want {
			if !strings.Contains(found[name], text) {
				t.Errorf("%s: found %q, want %q", name, found[name], text)
			}
		}
	}
	if len(found) != len(tamperings())+1 || !strings.Contains(out.String(), "20500 entries of \"till\"") {
		t.Errorf("it printed %s", out.String())
	}
	verifyMode(t, folder)
}

func verifyMode(t *testing.T, folder string) {
	export, err := os.ReadFile(filepath.Join(folder, exportFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(export, []byte("\n"))
	truncated := filepath.Join(folder, "truncated.jsonl")
	if err := os.WriteFile(truncated, bytes.Join(lines[:5], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, whole := filepath.Join(folder, keysFile), filepath.Join(folder, exportFile)
	checkpoints := filepath.Join(folder, checkpointsFile)
	for _, test := range []struct {
		args []string
		want string // part of the output, or of the error
		ok   bool
	}{
		{[]string{"-keys", keys, whole}, "1 checkpoints in the export and 0 others agree", true},
		{[]string{"-keys", keys, "-checkpoints", checkpoints, "-id", cashRegister, "-require-final", "-require-start", whole}, "10 entries of \"till\"", true},
		{[]string{truncated}, "no checkpoint was checked", true},
		{[]string{"-keys", keys, "-require-final", truncated}, "truncated", false},
		{[]string{"-keys", keys, "-checkpoints", checkpoints, truncated}, "truncated", false},
		{[]string{"-keys", keys, "-id", "other", whole}, "another ShareData", false},
		{[]string{whole}, "public keys", false},
		{[]string{"-keys", whole, whole}, "not a JSON Web Key Set", false},
		{[]string{"-keys", folder + "/none", whole}, "no such file", false},
		{nil, "name one export", false},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"verify"}, test.args...), &out)
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		if (err == nil) != test.ok || !strings.Contains(text, test.want) {
			t.Errorf("%q: %s", test.args, text)
		}
	}
}
