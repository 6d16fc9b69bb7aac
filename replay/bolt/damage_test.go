package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/internal/testlog"
	"github.com/safe-go/safe/replay"
)

// spread is the content of a closed file with some histories, each of which
// fills pages of its own, and what it holds.
func spread(t *testing.T) ([]byte, model) {
	t.Helper()
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	for i := range 5 {
		id := fmt.Sprint("id ", i)
		for j := range 40 {
			data := fmt.Sprintf("%s entry %d %s", id, j, make([]byte, 500))
			mustAppend(t, s, k, id, k.next(id, replay.Entry{Data: []byte(data), Key: fmt.Sprint("key ", j)}))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, k
}

// rootOf is what the root of a file has.
func rootOf(t *testing.T, content []byte) []rootElement {
	t.Helper()
	c := &fileCheck{file: bytes.NewReader(content), size: int64(len(content))}
	_, err := c.begin()
	if err := errors.Join(err, c.root()); err != nil {
		t.Fatal(err)
	}
	return c.elements
}

// leafOf is the id of the page that has an entry.
func leafOf(t *testing.T, content []byte, key []byte) uint64 {
	t.Helper()
	file := bytes.NewReader(content)
	m, _, err := readMeta(file, file.Size())
	if err != nil {
		t.Fatal(err)
	}
	id := uint64(0)
	for _, e := range rootOf(t, content) {
		if bytes.Equal(e.leaf.key(e.index), entriesBucket.name) {
			id = native.Uint64(e.leaf.value(e.index))
		}
	}
	for {
		p, err := readPage(file, &m, id)
		if err != nil {
			t.Fatal(err)
		}
		if p.isLeaf() {
			return id
		}
		id = p.child(p.search(key))
	}
}

// useAround uses a file of which one history is damaged.
func useAround(t *testing.T, content []byte, k model, child string) {
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCheckAs(t, path, "")
	l := &testlog.Buffer{}
	s := open(t, path, &Options{Logger: slog.New(slog.NewTextHandler(l, nil))})
	rest := model{}
	for id, history := range k {
		if id != child {
			rest[id] = history
		}
	}
	for range 2 {
		if _, err := s.Read(t.Context(), child, replay.Cursor{Epoch: 7}, 100); !errors.Is(err, ErrDamaged) {
			t.Errorf("Read of the damaged history: %v; want ErrDamaged", err)
		}
		for id, history := range rest {
			if err := history.verify(t, s, id); err != nil {
				t.Errorf("%q: %v", id, err)
			}
		}
		// One group, with the damaged history in the middle.
		w := newWaiting(t, s, rest)
		var answers []<-chan answer
		for _, id := range []string{"id 0", child, "id 4", "new"} {
			batch := k.next(id, replay.Entry{Data: []byte("more"), Key: "key 0"})
			batch.NewKeys = id == child
			if id != child {
				batch = rest.next(id, entryOf("more"))
				rest.add(id, batch)
			}
			answers = append(answers, w.append(t.Context(), id, batch))
		}
		w.release()
		for i, answers := range answers {
			if got := <-answers; errors.Is(got.err, ErrDamaged) != (i == 1) || i != 1 && got.err != nil {
				t.Errorf("batch %d of the group: %v", i, got.err)
			}
		}
		if got := <-w.opener; got.err != nil {
			t.Error(got.err)
		}
	}
	if n := strings.Count(l.String(), "damage was met"); n != 1 || !strings.Contains(l.String(), "bolt.Check") {
		t.Errorf("damage was logged %d times: %s; want once, and what to do", n, l)
	}
}

// mustCheckAs checks a file that is damaged, and that Check says so.
func mustCheckAs(t *testing.T, path, says string) {
	t.Helper()
	err := Check(path)
	if damage, ok := errors.AsType[*DamageError](err); !ok || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), says) {
		t.Errorf("Check: %v (%+v); want a DamageError: %s", err, damage, says)
	}
}

func TestDamage_Value(t *testing.T) {
	content, k := spread(t)
	// key 0 leads to the first entry, which is then read
	content = bytes.ReplaceAll(content, []byte("id 2 entry 0 "), []byte("id 2 entry O "))
	delete(k, "id 1") // whose last entries share the page
	useAround(t, content, k, "id 2")
}

func TestDamage_Page(t *testing.T) {
	content, k := spread(t)
	number := uint64(3) // of "id 2", the third
	page := leafOf(t, content, entryKey(number, replay.Cursor{Epoch: 7, Revision: 20}))
	first := leafOf(t, content, entryKey(number, replay.Cursor{Epoch: 7, Revision: 1}))
	if page == first {
		t.Fatal("the history fits into one page")
	}
	for _, id := range []uint64{page, first} {
		clear(pageOf(content, id))
	}
	// The page of the first entry may have the last ones of the history before.
	delete(k, "id 1")
	useAround(t, content, k, "id 2")
}

// A page that the disk lost and replaced by an older one can leave a file whose
// structure is right.
func TestDamage_MissingEntry(t *testing.T) {
	whole, _ := spread(t)
	path := newPath(t)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return (&content{tx: tx}).delete(entriesBucket, entryKey(2, replay.Cursor{Epoch: 7, Revision: 20}))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, nil)
	for _, revision := range []uint64{0, 18, 19} {
		after := replay.Cursor{Epoch: 7, Revision: revision}
		if entries, err := s.Read(t.Context(), "id 1", after, 10+10*(20-int(revision))); !errors.Is(err, ErrDamaged) {
			t.Errorf("Read after %s, 20 being lost: %d entries, %v; want ErrDamaged", after, len(entries), err)
		}
	}
	if found, err := s.Find(t.Context(), "id 1", []string{"key 19"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Find of the lost entry: %v, %v; want ErrDamaged", found, err)
	}
	if entries, err := s.Read(t.Context(), "id 1", replay.Cursor{Epoch: 7, Revision: 20}, 100); err != nil || len(entries) != 20 {
		t.Errorf("Read of what is behind: %d entries, %v", len(entries), err)
	}
}

func TestDamage_RemovedHistory(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	long(t, s, k, "removed", 5*deletesPerGroup)
	commits := 0 // only the removal itself succeeds, and it deletes a part
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		if isMeta(s, off) {
			commits++
		}
		if commits > 1 {
			return 0, errors.New("no more for now")
		}
		return write(b, off)
	})
	remove(t, s, k, "removed")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := leafOf(t, content, entryKey(1, replay.Cursor{Epoch: 7, Revision: deletesPerGroup + 1}))
	clear(pageOf(content, page))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, nil)
	for i := range 3 {
		id := fmt.Sprint("id ", i)
		mustAppend(t, s, k, id, k.next(id, entryOf("data")))
		mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
	}
	mustHold(t, s, k)
}

// sample is a closed file with a bit of everything, and what it holds.
func sample(t testing.TB, batches int) ([]byte, model) {
	t.Helper()
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	epoch := uint64(100)
	k.fill(t, s, rand.New(rand.NewPCG(1, 2)), &epoch, batches)
	if err := k.verify(t, s); err != nil {
		t.Fatal(err)
	}
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
	return content[:int64(m.pages)*m.pageBytes], k // behind it is nothing
}

// useDamaged writes the content to a file and uses it like any other. It must
// be refused, or answer rightly, or say that it is damaged.
func useDamaged(t testing.TB, path string, content []byte, k model) (refused bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenUnsynced(path, nil)
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Fatalf("Open: %v; want ErrDamaged or ErrForeign", err)
		}
		return true
	}
	defer s.Close()
	if err := k.verify(t, s); err != nil && !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	ids := slices.Sorted(maps.Keys(k))
	for _, id := range append(ids[:min(len(ids), 5)], "new") {
		batch := k.next(id, entryOf("more"))
		if k[id] == nil {
			batch.Entries[0].Cursor.Epoch = 1 << 40
		}
		err := s.Append(t.Context(), id, batch)
		if s.rolledBack > 0 && errors.Is(err, replay.ErrConflict) {
			continue
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("Append to %q: %v", id, err)
		}
		if err != nil {
			continue
		}
		got, err := s.Read(t.Context(), id, batch.Expect, 10)
		if batch.Expect.IsZero() {
			at := batch.Entries[0].Cursor
			at.Revision = 0
			got, err = s.Read(t.Context(), id, at, 10)
		}
		if err == nil {
			err = sameEntries(got, batch.Entries)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("Read of what was appended to %q: %v", id, err)
		}
		one := model{}
		if k[id] != nil {
			one[id] = k[id].clone()
		}
		one.add(id, batch)
		if err := one[id].verify(t, s, id); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("after an append to %q: %v", id, err)
		}
	}
	return false
}

// corrupt changes a copy of a file in one of the ways that files are changed in.
func corrupt(content []byte, random *rand.Rand) []byte {
	content = bytes.Clone(content)
	page := pageBytes
	at := random.IntN(len(content))
	within := content[at/page*page : min((at/page+1)*page, len(content))]
	switch random.IntN(8) {
	case 0:
		return content[:at]
	case 1:
		return content[:at/page*page]
	case 2:
		clear(within)
	case 3:
		for i := range within {
			within[i] = byte(random.Uint32())
		}
	case 4:
		from := random.IntN(len(content)/page) * page
		copy(within, content[from:from+page])
	case 5: // in the header of a page or of its first elements
		within[random.IntN(64)] ^= 1 << random.IntN(8)
	case 6:
		n := min(len(within), 512)
		clear(within[len(within)-n:])
	default:
		content[at] ^= 1 << random.IntN(8)
	}
	return content
}

func TestDamage_RandomChanges(t *testing.T) {
	content, k := sample(t, 150)
	randomChanges(t, content, k, 200, 100)
}

// randomChanges uses a file after a random change, so often. Check finds at least
// so many of them.
func randomChanges(t *testing.T, content []byte, k model, rounds, least int) {
	path := newPath(t)
	refused, found := 0, 0
	for seed := range uint64(rounds) {
		corrupted := corrupt(content, rand.New(rand.NewPCG(seed, 0)))
		if err := os.WriteFile(path, corrupted, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
			found++
		} else if err != nil {
			t.Fatalf("Check: %v", err)
		}
		if useDamaged(t, path, corrupted, k) {
			refused++
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("of %d files of %d bytes, Check found damage in %d and Open refused %d", rounds, len(content), found, refused)
	if found < least {
		t.Errorf("only %d of %d damaged files were found", found, rounds)
	}
}

func FuzzDamage(f *testing.F) {
	content, k := sample(f, 150)
	for seed := range uint64(20) {
		f.Add(seed, uint32(seed)*uint32(pageBytes), byte(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, at uint32, change byte) {
		corrupted := bytes.Clone(content)
		corrupted[int(at)%len(corrupted)] ^= change
		if seed%2 == 1 {
			corrupted = corrupt(corrupted, rand.New(rand.NewPCG(seed, 0)))
		}
		useDamaged(t, newPath(t), corrupted, k)
	})
}
