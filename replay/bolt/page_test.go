package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

// pageBytes is the size of the pages of a file that these tests make.
var pageBytes = os.Getpagesize()

func pageOf(content []byte, id uint64) []byte {
	return content[int(id)*pageBytes : (int(id)+1)*pageBytes]
}

// leaves are two pages of entries of one history.
func leaves(t *testing.T, content []byte) (a, b uint64) {
	t.Helper()
	a = leafOf(t, content, entryKey(3, replay.Cursor{Epoch: 7, Revision: 12}))
	b = leafOf(t, content, entryKey(3, replay.Cursor{Epoch: 7, Revision: 30}))
	if a == b {
		t.Fatal("the history fits into one page")
	}
	return a, b
}

// Every page and every value of these files is right in itself.
func TestDamage_PlaceAndOrder(t *testing.T) {
	content, k := spread(t)
	tests := map[string]struct {
		change func(t *testing.T, content []byte)
		says   string
	}{
		"two leaves are exchanged": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			one, two := pageOf(content, a), pageOf(content, b)
			saved := bytes.Clone(one)
			copy(one[8:], two[8:]) // the id stays
			copy(two[8:], saved[8:])
		}, "does not begin with the key"},
		"a leaf is lost for a later one": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			copy(pageOf(content, a)[8:], pageOf(content, b)[8:])
		}, "does not begin with the key"},
		"a leaf is lost for an earlier one": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			copy(pageOf(content, b)[8:], pageOf(content, a)[8:])
		}, "does not begin with the key"},
		"two elements are exchanged": {func(t *testing.T, content []byte) {
			a, _ := leaves(t, content)
			p := page(pageOf(content, a))
			if len(p.value(1)) != len(p.value(2)) {
				t.Fatal("the elements are of different sizes")
			}
			key, value := bytes.Clone(p.key(1)), bytes.Clone(p.value(1))
			copy(p.key(1), p.key(2))
			copy(p.value(1), p.value(2))
			copy(p.key(2), key)
			copy(p.value(2), value)
		}, "out of order"},
		"a page says that it is another": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			native.PutUint64(pageOf(content, a), b)
		}, "says that it is page"},
		"a page says that it takes more pages": {func(t *testing.T, content []byte) {
			a, _ := leaves(t, content)
			native.PutUint32(pageOf(content, a)[12:], 1)
		}, "pages instead of"},
		"a page in use is listed as free": {func(t *testing.T, content []byte) {
			a, _ := leaves(t, content)
			list(t, content, a)
		}, "used and free"},
		"a free page is listed twice": {func(t *testing.T, content []byte) {
			list(t, content, 0)
		}, "cannot be free"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			changed, path := bytes.Clone(content), newPath(t)
			test.change(t, changed)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			mustCheckAs(t, path, test.says)
			useDamaged(t, path, changed, k)
		})
	}
}

// list replaces a page in the list of free ones by another one; by one that is
// listed already for 0.
func list(t *testing.T, content []byte, id uint64) {
	t.Helper()
	m, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	p := page(pageOf(content, m.freelist))
	if p.count() < 2 {
		t.Fatalf("%d pages are free; want some", p.count())
	}
	ids := p[pageHeaderBytes:]
	if id == 0 {
		id = native.Uint64(ids[8:])
		native.PutUint64(ids, id)
		return
	}
	at := sort.Search(p.count()-1, func(i int) bool { return native.Uint64(ids[8*i:]) > id })
	native.PutUint64(ids[8*at:], id) // the list stays in order
}

// TestDamage_Pointers changes pointers from one page to another into pointers to
// any other page, most of which are right in themselves, and some of which have
// the keys that are looked for.
func TestDamage_Pointers(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	for i := range 40 { // a page has room for few such ids, so the tree is deep
		id := fmt.Sprintf("%03d %s", i, strings.Repeat("x", 900))
		mustAppend(t, s, k, id, k.next(id, entryOf("a"), keyedEntry(i, "b")))
		if i%9 == 0 {
			remove(t, s, k, id)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pointers, pages := pointersOf(t, content)
	random := seeded(testSeed(t))
	for range 150 {
		at, to := pointers[random.IntN(len(pointers))], random.Uint64N(pages+1)
		changed := bytes.Clone(content)
		if native.Uint64(changed[at:]) == to {
			continue
		}
		native.PutUint64(changed[at:], to)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		mustCheckAs(t, path, "")
		s, err := Open(path, nil)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("Open: %v; want ErrDamaged", err)
			}
			continue
		}
		for id, history := range k {
			if err := history.verify(t, s, id); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("the pointer at %d to page %d: %.20q: %.200v", at, to, id, err)
			}
			if err := s.Append(t.Context(), id, k.next(id, entryOf("more"))); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("the pointer at %d to page %d: Append to %.20q: %.200v", at, to, id, err)
			}
			break // any one of them
		}
		if err := s.Close(); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	}
}

// pointersOf returns where the pointers to pages are, and how many pages there
// are.
func pointersOf(t *testing.T, content []byte) (pointers []int, pages uint64) {
	t.Helper()
	file := bytes.NewReader(content)
	m, _, err := readMeta(file, file.Size())
	if err != nil {
		t.Fatal(err)
	}
	var walk func(id uint64)
	walk = func(id uint64) {
		p := page(pageOf(content, id))
		for i := range p.count() {
			if p.isBranch() {
				pointers = append(pointers, int(id)*pageBytes+pageHeaderBytes+i*elementBytes+8)
				walk(p.child(i))
			}
		}
	}
	if root := page(pageOf(content, m.root)); root.isBranch() {
		for i := range root.count() {
			pointers = append(pointers, int(m.root)*pageBytes+pageHeaderBytes+i*elementBytes+8)
		}
	}
	for _, e := range rootOf(t, content) {
		if id := native.Uint64(e.leaf.value(e.index)); id != 0 {
			begin, key, _ := e.leaf.span(e.index)
			pointers = append(pointers, int(e.leaf.id())*pageBytes+int(begin+key))
			walk(id)
		}
	}
	return pointers, m.pages
}
