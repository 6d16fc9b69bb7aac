package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// spread is the content of a closed file with some histories, each of which
// fills pages of its own, and what it holds.
func spread(t *testing.T) ([]byte, known) {
	t.Helper()
	path, k := newPath(t), known{}
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

// leafOf is the id of the page that has an entry.
func leafOf(t *testing.T, content []byte, key []byte) uint64 {
	t.Helper()
	file := bytes.NewReader(content)
	m, err := readMeta(file, file.Size())
	if err != nil {
		t.Fatal(err)
	}
	root, err := readPage(file, &m, m.root)
	if err != nil {
		t.Fatal(err)
	}
	id := uint64(0)
	for _, e := range root.elements {
		if bytes.Equal(e.key, entriesBucket.name) {
			id = native.Uint64(e.value)
		}
	}
	for {
		p, err := readPage(file, &m, id)
		if err != nil {
			t.Fatal(err)
		}
		if p.leaf {
			return id
		}
		for _, e := range p.elements {
			if bytes.Compare(e.key, key) <= 0 {
				id = e.child
			}
		}
	}
}

// useAround uses a file of which one history is damaged.
func useAround(t *testing.T, content []byte, k known, victim string) {
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, nil); !errors.Is(err, ErrDamaged) {
		t.Fatalf("Open: %v; want ErrDamaged", err)
	}
	s := open(t, path, &Options{SkipCheck: true})
	rest := known{}
	for id, story := range k {
		if id != victim {
			rest[id] = story
		}
	}
	for range 2 {
		if _, err := s.Read(t.Context(), victim, replay.Cursor{Epoch: 7}, 100); !errors.Is(err, ErrDamaged) {
			t.Errorf("Read of the damaged history: %v; want ErrDamaged", err)
		}
		for id, story := range rest {
			if err := story.verify(t, s, id); err != nil {
				t.Errorf("%q: %v", id, err)
			}
		}
		// One group, with the damaged history in the middle.
		w := newWaiting(t, s, rest)
		var answers []<-chan answer
		for _, id := range []string{"id 0", victim, "id 4", "new"} {
			batch := k.next(id, replay.Entry{Data: []byte("more"), Key: "key 0"})
			batch.NewKeys = id == victim
			if id != victim {
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
}

func TestADamagedValueHarmsItsHistoryOnly(t *testing.T) {
	content, k := spread(t)
	// key 0 leads to the first entry, which is then read
	content = bytes.ReplaceAll(content, []byte("id 2 entry 0 "), []byte("id 2 entry O "))
	useAround(t, content, k, "id 2")
}

func TestADamagedPageHarmsItsHistoriesOnly(t *testing.T) {
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
func TestAHoleInAHistoryIsDamage(t *testing.T) {
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
		return content{tx}.delete(entriesBucket, entryKey(2, replay.Cursor{Epoch: 7, Revision: 20}))
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

func TestDamageToARemovedHistoryHarmsNobody(t *testing.T) {
	path, k := newPath(t), known{}
	s := open(t, path, nil)
	long(t, s, k, "removed", 5*sweepPerGroup)
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
	page := leafOf(t, content, entryKey(1, replay.Cursor{Epoch: 7, Revision: sweepPerGroup + 1}))
	clear(pageOf(content, page))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, &Options{SkipCheck: true})
	for i := range 3 {
		id := fmt.Sprint("id ", i)
		mustAppend(t, s, k, id, k.next(id, entryOf("data")))
		mustAppend(t, s, k, "id", k.next("id", entryOf("data")))
	}
	mustHold(t, s, k)
}
