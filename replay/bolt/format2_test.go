package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/testlog"
	"github.com/safe-go/safe/replay"
)

// format2File is the content of a file of stateFormat, which testdata/format2 wrote,
// and what this version has to find in it.
func format2File(t testing.TB) ([]byte, model) {
	t.Helper()
	if native.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the file is of a machine with another byte order")
	}
	compressed, err := os.Open(filepath.Join("testdata", "format2", "format2.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer compressed.Close()
	file, err := gzip.NewReader(compressed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	k := model{}
	history := func(id string, trimmed uint64, state string, epochs ...replay.Cursor) {
		h := &modelHistory{trimmed: trimmed}
		for _, last := range epochs {
			var entries []replay.Entry
			for at := (replay.Cursor{Epoch: last.Epoch, Revision: 1}); !at.After(last); at = at.Next() {
				entries = append(entries, replay.Entry{Cursor: at, Key: "key " + at.String(), Data: fmt.Appendf(nil, "data of %s at %s", id, at)})
			}
			h.epochs = append(h.epochs, entries)
			h.meta = []byte("meta " + last.String())
		}
		// No entry after the one that changed the state last did so.
		h.snapshotAt = h.head().Revision
		if state != "" {
			h.snapshot = []byte(state)
		}
		k[id] = h
	}
	history("changed", 0, "state C of changed at 7-4", replay.Cursor{Epoch: 7, Revision: 4})
	history("rejected", 0, "state B of rejected at 7-2", replay.Cursor{Epoch: 7, Revision: 5})
	history("restarted", 0, "state C of restarted at 9-1", replay.Cursor{Epoch: 7, Revision: 3}, replay.Cursor{Epoch: 9, Revision: 2})
	history("stateless", 0, "", replay.Cursor{Epoch: 7, Revision: 2})
	history("trimmed", 4, "state B of trimmed at 7-2", replay.Cursor{Epoch: 7, Revision: 7})
	return content[:int64(m.pages)*m.pageBytes], k
}

// format2Path writes the file to a path.
func format2Path(t testing.TB) (path string, k model) {
	t.Helper()
	content, k := format2File(t)
	path = newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, k
}

// formatOf is the version of the format in a file that is not open.
func formatOf(t testing.TB, path string) uint64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, _, err := newFileCheck(file)
	if err := errors.Join(err, c.root()); err != nil {
		t.Fatal(err)
	}
	return c.format
}

func TestFormat2_BroughtForward(t *testing.T) {
	path, k := format2Path(t)
	if err := Check(path); err != nil || formatOf(t, path) != 2 {
		t.Fatalf("Check: %v, format %d; want format 2", err, formatOf(t, path))
	}
	l := &testlog.Buffer{}
	for range 3 {
		s := open(t, path, &Options{Logger: slog.New(slog.NewTextHandler(l, nil))})
		mustHold(t, s, k)
		again := numbered(replay.Batch{}, replay.Cursor{Epoch: 7}, []replay.Entry{entryOf("again")})
		conflict, ok := errors.AsType[*replay.ConflictError](s.Append(t.Context(), "removed", again))
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head != (replay.Cursor{Epoch: 7, Revision: 2}) {
			t.Errorf("a start in the epoch of the removed history: %v; want a conflict", conflict)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); err != nil || formatOf(t, path) != 3 {
			t.Fatalf("Check: %v, format %d; want format 3", err, formatOf(t, path))
		}
	}
	if n := strings.Count(l.String(), "brought forward"); n != 1 {
		t.Errorf("it was logged %d times that the file was brought forward; want once", n)
	}
}

// The first append to a history brings its head forward, whatever it brings.
func TestFormat2_Append(t *testing.T) {
	path, k := format2Path(t)
	s := open(t, path, nil)
	for round := range 3 {
		for _, id := range []string{"changed", "rejected", "restarted", "stateless", "trimmed"} {
			batch := k.next(id, keyedEntry(round, "more"), keyedEntry(100+round, "more"))
			if round == 1 {
				batch = withSnapshot(batch)
			}
			mustAppend(t, s, k, id, batch)
			mustHold(t, s, k)
		}
	}
	if n := count(t, s, snapshotsBucket); n != 5 {
		t.Errorf("the bucket has %d snapshots; want one of each history", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	mustHold(t, open(t, path, nil), k)
}

// A batch that ends or restarts a history or brings a snapshot leaves nothing of
// the state in any place that it can be in.
func TestFormat2_StateReplaced(t *testing.T) {
	for name, left := range map[string]int{"snapshot": 5, "restart": 5, "remove": 0} {
		t.Run(name, func(t *testing.T) {
			path, k := format2Path(t)
			s := open(t, path, nil)
			for _, id := range []string{"changed", "rejected", "restarted", "stateless", "trimmed"} {
				batch := k.next(id, entryOf("more"))
				switch name {
				case "snapshot":
					batch = withSnapshot(batch)
				case "restart":
					batch = numbered(replay.Batch{Expect: batch.Expect}, replay.Cursor{Epoch: 11}, batch.Entries)
					h := k[id]
					h.epochs[0], h.trimmed = h.epochs[0][h.trimmed:], 0
				case "remove":
					batch.Remove = true
				}
				mustAppend(t, s, k, id, batch)
				mustHold(t, s, k)
			}
			await(t, "the rest to be deleted", func() bool { return count(t, s, removedBucket) == 0 })
			if n := count(t, s, snapshotsBucket); n != left {
				t.Errorf("%d snapshots are left; want %d", n, left)
			}
		})
	}
}

// Entries that counted their state count it until they are trimmed.
func TestFormat2_Trimmed(t *testing.T) {
	path, k := format2Path(t)
	s := open(t, path, &Options{MaxEntries: 3})
	for i := range 8 {
		for _, id := range []string{"changed", "rejected", "trimmed"} {
			mustAppend(t, s, k, id, withSnapshot(k.next(id, keyedEntry(i, "more"))))
			oldestIs(t, s, k, id, k[id].head().Revision-2)
			if h := headOf(t, s, id); i >= 2 && h.bytes != 3*entrySize(len("key 1"), len("more")) {
				t.Errorf("%q: three entries count %d bytes", id, h.bytes)
			}
		}
	}
}

func headOf(t *testing.T, s *Store, id string) (h *head) {
	t.Helper()
	err := s.view(t.Context(), func(r *reader) (err error) {
		h, err = r.head(id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// notLoaded is the store of a file as Open has it before it writes the format.
func notLoaded(t *testing.T, path string) *Store {
	t.Helper()
	file, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{path: path, logger: slog.New(slog.DiscardHandler), now: time.Now}
	opened, transaction, _, err := openDatabase(path, file)
	if err != nil {
		t.Fatal(err)
	}
	s.database = opened
	s.durable.set(transaction)
	return s
}

// A power cut at any moment of the first opening leaves a file that opens.
func TestFormat2_PowerCut(t *testing.T) {
	path, k := format2Path(t)
	s := notLoaded(t, path)
	r := record(t, s)
	if err := errors.Join(s.loadFormat(false), s.database.close()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.events); n < 2 || n > 4 || !r.events[n-1].meta || formatOf(t, path) != 3 {
		t.Fatalf("%d writes, format %d; want a few writes and format 3", n, formatOf(t, path))
	}
	random := seeded(testSeed(t))
	rolledBack := 0
	for n := range len(r.events) + 1 {
		rounds := 20
		if n == len(r.events) { // one in ten leaves a meta page that was partly written
			rounds = 150
		}
		for range rounds {
			if err := os.WriteFile(path, r.cut(n, random), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, nil)
			mustHold(t, s, k)
			if s.rolledBack > 0 {
				rolledBack++
				if err := mustBeRolledBack(t, s, "changed"); err != nil {
					t.Error(err)
				}
			} else {
				one := model{"changed": k["changed"].clone()}
				mustAppend(t, s, one, "changed", one.next("changed", entryOf("more")))
				mustHold(t, s, model{"changed": one["changed"], "rejected": k["rejected"], "restarted": k["restarted"], "stateless": k["stateless"], "trimmed": k["trimmed"]})
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Check(path); err != nil || formatOf(t, path) != 3 {
				t.Fatalf("cut before write %d of %d: %v, format %d", n, len(r.events), err, formatOf(t, path))
			}
		}
	}
	if rolledBack == 0 {
		t.Error("no cut left a meta page that was partly written")
	}
}

// A meta page that was partly written is the only trace of a lost commit. Bringing
// the file forward overwrites it, so the histories are marked in the same commit.
func TestFormat2_RolledBack(t *testing.T) {
	path, k := format2Path(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := readMeta(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	content = flipped(content, int(m.at*m.pageBytes)+pageHeaderBytes+metaBytes-1)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := notLoaded(t, path)
	r := record(t, s)
	if err := errors.Join(s.loadFormat(true), s.database.close()); err != nil {
		t.Fatal(err)
	}
	metas := 0
	for _, e := range r.events {
		if e.meta {
			metas++
		}
	}
	if metas != 1 {
		t.Errorf("the file was opened with %d commits; want one", metas)
	}
	s = open(t, path, nil)
	for id := range k {
		if err := mustBeRolledBack(t, s, id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestFormat2_DiskFull(t *testing.T) {
	path, k := format2Path(t)
	s := notLoaded(t, path)
	failData(s).set(syscall.ENOSPC)
	if err := s.loadFormat(false); !errors.Is(err, replay.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("bringing a file forward on a full disk: %v; want ErrUnavailable", err)
	}
	if err := s.database.close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil || formatOf(t, path) != 2 {
		t.Errorf("Check: %v, format %d; want format 2", err, formatOf(t, path))
	}
	mustHold(t, open(t, path, nil), k)
}

func TestFormat2_Damaged(t *testing.T) {
	content, k := format2File(t)
	randomChanges(t, content, k, 200, 50)
	for id, state := range map[string]string{"changed": "state C", "trimmed": "state B"} {
		changed := bytes.ReplaceAll(content, []byte(state+" of "+id), []byte(strings.ToUpper(state)+" of "+id))
		path := newPath(t)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		mustCheckAs(t, path, "checksum")
	}
}
