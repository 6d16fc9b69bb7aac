package layout_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/safe-go/safe"

// allowed lists, for each folder of the module, what its code may import of the
// module's other folders. A folder that is not listed may import nothing, and
// an entry covers the folders below it unless they are listed themselves.
var allowed = map[string][]string{
	"replay":               {"internal/option"},
	"replay/replaytest":    {"replay"},
	"replay/bolt":          {"replay", "internal/option"},
	"replay/redis":         {"replay", "internal/option"},
	"replay/storeurl":      {"replay", "replay/bolt", "replay/redis"},
	"sharedata":            {"replay", "internal/option", "internal/jsonpatch", "internal/nesting"},
	"sharedata/proof":      {"sharedata", "replay", "internal/jose", "internal/proof"},
	"client/js":            {},
	"client/proof":         {"client", "internal/jose", "internal/proof"},
	"sharedata/audit":      {"sharedata", "replay", "internal/jose", "internal/option"},
	"sharedata/schedule":   {"sharedata", "internal/jsonpatch", "internal/option"},
	"schemas":              {},
	"schemas/codes":        {},
	"internal/option":      {},
	"internal/wire":        {"internal/nesting"},
	"internal/jsonpatch":   {"internal/nesting"},
	"internal/nesting":     {},
	"internal/jose":        {"internal/nesting"},
	"internal/proof":       {},
	"internal/checker":     {"client", "internal/jsonpatch", "internal/wire", "replay", "schemas/codes", "sharedata"},
	"internal/layout":      {},
	"internal/promises":    {},
	"internal/interop":     {},
	"internal/hostile":     {},
	"internal/child":       {},
	"internal/redistest":   {"internal/child"},
	"internal/sharedstore": {"replay"},
	"internal/testlog":     {},
	"internal/benchmarks":  {},
	"internal/torture": {"client", "internal/child", "internal/checker", "internal/option", "internal/redistest", "internal/wire", "realtime", "replay", "schemas/codes",
		"replay/bolt", "replay/redis", "replay/storeurl", "sharedata"},
	"realtime":      {"sharedata", "replay", "schemas", "schemas/codes", "internal/option", "internal/wire"},
	"realtime/auth": {"realtime", "sharedata", "internal/jose", "internal/option"},
	"client":        {"internal/jsonpatch", "internal/option", "internal/wire", "schemas/codes"},
	"examples": {"client", "client/js", "client/proof", "realtime", "realtime/auth", "sharedata", "sharedata/audit", "sharedata/proof", "sharedata/schedule", "replay", "replay/bolt", "replay/redis",
		"replay/storeurl", "schemas/codes"},
}

// forTests lists what test files may import in addition.
var forTests = map[string][]string{
	"internal/wire":        {"schemas", "schemas/codes"},
	"replay":               {"replay/replaytest"},
	"replay/bolt":          {"internal/testlog", "replay/replaytest"},
	"replay/redis":         {"replay/replaytest", "internal/redistest", "sharedata"},
	"replay/replaytest":    {"internal/sharedstore"},
	"replay/storeurl":      {"internal/redistest"},
	"sharedata":            {"internal/sharedstore", "internal/testlog"},
	"sharedata/proof":      {"client", "client/proof"},
	"client/js":            {"client", "internal/checker", "internal/child", "internal/wire", "realtime", "replay", "replay/bolt", "sharedata"},
	"client/proof":         {"internal/sharedstore", "realtime", "replay", "schemas/codes", "sharedata", "sharedata/proof"},
	"sharedata/audit":      {"internal/sharedstore"},
	"sharedata/schedule":   {"internal/child", "internal/redistest", "internal/sharedstore", "replay", "replay/redis"},
	"realtime":             {"internal/jsonpatch", "internal/redistest", "internal/sharedstore", "replay/bolt", "replay/redis"},
	"internal/sharedstore": {"replay/replaytest"},
	"internal/benchmarks":  {"internal/redistest", "replay", "replay/bolt", "replay/redis", "sharedata"},
	"internal/promises":    {"client", "internal/checker", "internal/sharedstore", "internal/wire", "realtime", "replay", "replay/bolt", "schemas/codes", "sharedata"},
	"internal/interop":     {"client", "realtime", "replay", "sharedata"},
	"internal/hostile":     {"client", "internal/child", "realtime", "sharedata"},
	"realtime/auth":        {"internal/testlog"},
	"examples":             {"internal/child", "internal/redistest", "internal/testlog"},
}

func TestImports(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && name != root || entry.Name() == "testdata" || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(relative))
		rule := ruleFor(folder)
		seen[rule] = true
		may := allowed[rule]
		if strings.HasSuffix(name, "_test.go") {
			may = slices.Concat(may, forTests[rule])
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			target, ours := strings.CutPrefix(imported, module+"/")
			if ours && !permitted(folder, target, may) {
				t.Errorf("%s imports %s; allowed are %v", relative, target, may)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for rule := range allowed {
		if !seen[rule] {
			t.Errorf("the layout has a rule for %s, where there is no code", rule)
		}
	}
}

// ruleFor returns the folder whose rule applies: the folder itself or the nearest
// one above.
func ruleFor(folder string) string {
	for ; folder != "."; folder = path.Dir(folder) {
		if _, listed := allowed[folder]; listed {
			return folder
		}
	}
	return folder
}

// permitted reports whether a folder may import target. Folders under one rule may
// import each other.
func permitted(folder, target string, may []string) bool {
	return target == folder || ruleFor(target) == ruleFor(folder) || slices.Contains(may, ruleFor(target))
}
