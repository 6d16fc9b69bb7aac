package bolt

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// branchRoot is the content of a closed file whose small buckets do not fit into
// one page, and what it holds.
func branchRoot(t *testing.T) ([]byte, model) {
	t.Helper()
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	long := strings.Repeat("x", 800)
	ended := k.next("ended "+long, entryOf("data"))
	ended.Remove = true
	mustAppend(t, s, k, "ended "+long, ended)
	mustAppend(t, s, k, "id "+long, k.next("id "+long, keyedEntry(0, long)))
	// The root is a branch from here on.
	mustHold(t, s, k)
	mustAppend(t, s, k, "id "+long, k.next("id "+long, keyedEntry(1, "data")))
	mustHold(t, s, k)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	content = content[:int64(m.pages)*m.pageBytes]
	if !page(pageOf(content, m.root)).isBranch() {
		t.Fatal("the root is one page")
	}
	return content, k
}

func TestRoot_Branch(t *testing.T) {
	content, k := branchRoot(t)
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := Check(path); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, nil)
		mustHold(t, s, k)
		id := fmt.Sprint("id ", i/5)
		mustAppend(t, s, k, id, withSnapshot(k.next(id, keyedEntry(i, "more"))))
		if i%5 == 4 {
			remove(t, s, k, id)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoot_DamagedBranch(t *testing.T) {
	content, k := branchRoot(t)
	m, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	randomChanges(t, content, k, 200, 80)
	path := newPath(t)
	changed := bytes.Clone(content)
	list(t, changed, m.root)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCheckAs(t, path, "cannot be free")
	root := page(pageOf(content, m.root))
	for i := range root.count() {
		for to := range m.pages + 1 {
			changed := bytes.Clone(content)
			pointer := int(m.root)*pageBytes + pageHeaderBytes + i*elementBytes + 8
			if native.Uint64(changed[pointer:]) == to {
				continue
			}
			native.PutUint64(changed[pointer:], to)
			if !useDamaged(t, path, changed, k) {
				t.Errorf("a file whose root leads to page %d was opened", to)
			}
			mustCheckAs(t, path, "")
		}
	}
}
