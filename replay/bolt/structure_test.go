package bolt

import (
	"bytes"
	"errors"
	"os"
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
func TestPagesInTheWrongPlaceAreDamage(t *testing.T) {
	content, _ := spread(t)
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
		}, "out of order"},
		"a leaf is lost for a later one": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			copy(pageOf(content, a)[8:], pageOf(content, b)[8:])
		}, "out of order"},
		"a leaf is lost for an earlier one": {func(t *testing.T, content []byte) {
			a, b := leaves(t, content)
			copy(pageOf(content, b)[8:], pageOf(content, a)[8:])
		}, "out of order"},
		"two elements are exchanged": {func(t *testing.T, content []byte) {
			a, _ := leaves(t, content)
			p, err := parsePage(pageOf(content, a))
			if err != nil {
				t.Fatal(err)
			}
			one, two := p.elements[1], p.elements[2]
			if len(one.value) != len(two.value) {
				t.Fatal("the elements are of different sizes")
			}
			key, value := bytes.Clone(one.key), bytes.Clone(one.value)
			copy(one.key, two.key)
			copy(one.value, two.value)
			copy(two.key, key)
			copy(two.value, value)
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
			if _, err := Open(path, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Open: %v; want ErrDamaged: %s", err, test.says)
			}
		})
	}
}

// list replaces a page in the list of free ones by another one; by one that is
// listed already for 0.
func list(t *testing.T, content []byte, id uint64) {
	t.Helper()
	m, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	page := pageOf(content, m.freelist)
	if h := parseHeader(page); h.count < 2 {
		t.Fatalf("%d pages are free; want some", h.count)
	}
	ids := page[pageHeaderBytes:]
	if id == 0 {
		id = native.Uint64(ids[8:])
	}
	native.PutUint64(ids, id)
}
