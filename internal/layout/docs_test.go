package layout_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// goBlocks returns the Go code in a Markdown file.
func goBlocks(t *testing.T, name string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range goBlock.FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(block[1]))
	}
	return blocks
}

// vet compiles the files as one package, in this module, and vets it.
func vet(t *testing.T, files []string) {
	t.Helper()
	folder := t.TempDir()
	args := []string{"vet"}
	for i, text := range files {
		name := filepath.Join(folder, fmt.Sprintf("block%d.go", i+1))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = "../.."
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// The README has one block for the server, which is a program, one with a function for
// large states, and one for the client, which is the body of a function.
func TestReadme_Compiles(t *testing.T) {
	blocks := goBlocks(t, "../../README.md")
	if len(blocks) != 3 {
		t.Fatalf("the README has %d Go blocks, want one for the server, one for a large state and one for the client", len(blocks))
	}
	t.Run("server", func(t *testing.T) { vet(t, blocks[:1]) })
	t.Run("large state", func(t *testing.T) {
		vet(t, []string{`package main

import (
	"context"

	"github.com/safe-go/safe/sharedata"
)

type Rename struct {
	Item, Name string
}

func main() { _ = rename }

` + blocks[1]})
	})
	t.Run("client", func(t *testing.T) {
		vet(t, []string{`package main

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
` + blocks[2] + `
	return nil
}
`})
	})
}

// Every Go block in a file of docs is a file of one package.
func TestDocs_Compile(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("there is nothing in docs: %v", err)
	}
	for _, name := range names {
		if blocks := goBlocks(t, name); len(blocks) > 0 {
			t.Run(filepath.Base(name), func(t *testing.T) { vet(t, blocks) })
		}
	}
}
