package layout_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The README's programs are what a newcomer copies first.
func TestReadmeProgramsCompile(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("the README has %d Go blocks, want one for the server and one for the client", len(blocks))
	}
	for name, program := range map[string]string{
		"server": string(blocks[0][1]),
		"client": `package main

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/client"
)

type Add struct {
	By int
}

func main() { _ = run(context.Background()) }

func run(ctx context.Context) error {
` + string(blocks[1][1]) + `
	return nil
}
`,
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			source := filepath.Join(folder, "main.go")
			if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, "program"), source)
			build.Dir = "../.."
			if output, err := build.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}
