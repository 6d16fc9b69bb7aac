package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The commands at the top of docs/protocol.md work as they are written.
func TestProtocol_Curl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed, so the commands of docs/protocol.md are not run: install the package curl")
	}
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	var got []string
	url := start(t, config{})
	for line := range strings.Lines(block) {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		line = strings.ReplaceAll(line, "http://127.0.0.1:8080", url)
		line = strings.Replace(line, "-m 10", "-m 1", 1) // which ends it with an error
		output, err := exec.Command("sh", "-c", line).Output()
		if err != nil && !strings.Contains(line, "-m 1") {
			t.Errorf("%s: %v", line, err)
		}
		got = append(got, string(output))
	}
	want := []string{`"currentState":{"value":0}`, `"accepted":true`, `"event":"created"`, `"currentState":{"value":2}`, `"accepted":true`}
	if len(got) != len(want) {
		t.Fatalf("%d commands, want %d", len(got), len(want))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("command %d prints %s, want %s", i+1, got[i], want[i])
		}
	}
}
