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

// A snapshot of any length replaces one of any other length.
func TestSnapshot_Lengths(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	random := seeded(testSeed(t))
	const part = snapshotPartBytes
	for _, size := range []int{1, part - 1, part, part + 1, 2 * part, 100*part + 7, 99 * part, 1, 20*part - 1, 300 * part, 5, 0} {
		for _, id := range []string{"a", "b"} {
			batch := k.next(id, entryOf("data"))
			batch.Snapshot = make([]byte, size)
			for i := range batch.Snapshot {
				batch.Snapshot[i] = byte(random.Uint32())
			}
			given := bytes.Clone(batch.Snapshot)
			mustAppend(t, s, k, id, batch)
			if !bytes.Equal(batch.Snapshot, given) {
				t.Fatal("Append has changed the snapshot that it was given")
			}
			mustHold(t, s, k)
		}
		// An empty one is none, and leaves the one before.
		if n, want := count(t, s, snapshotsBucket), 2*max(1, (size+part-1)/part); n != want {
			t.Errorf("two snapshots of %d bytes are in %d parts; want %d", size, n, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	s = open(t, path, nil)
	mustHold(t, s, k)
	for _, id := range []string{"a", "b"} {
		remove(t, s, k, id)
	}
	await(t, "the snapshots to be deleted", func() bool { return count(t, s, snapshotsBucket) == 0 })
}

// lossy is a closed file with the history "id", whose snapshot at 7-3 has replaced
// one at 7-1 of the same length, that was changed without the store.
func lossy(t *testing.T, change func(c *content, before [][]byte) error) *Store {
	t.Helper()
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	var before [][]byte
	for i := range 4 {
		batch := k.next("id", entryOf("data"))
		if i%2 == 0 {
			batch.Snapshot = bytes.Repeat([]byte{'0' + byte(i)}, 5*snapshotPartBytes)
		}
		mustAppend(t, s, k, "id", batch)
		if i == 0 {
			err := s.view(t.Context(), func(r *reader) error {
				return r.scan(snapshotsBucket, partKey(1, 0), func(_, payload []byte) (bool, error) {
					before = append(before, bytes.Clone(payload))
					return true, nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return change(&content{tx: tx}, before) })
	if err := errors.Join(err, db.Close(), Check(path)); err != nil {
		t.Fatal(err)
	}
	return open(t, path, nil)
}

// A disk that loses a write can leave a file whose structure is right, with the
// snapshot of one position and the head of another.
func TestSnapshot_OfAnotherPosition(t *testing.T) {
	put := func(part int) func(c *content, before [][]byte) error {
		return func(c *content, before [][]byte) error {
			return c.put(snapshotsBucket, partKey(1, part), before[part])
		}
	}
	for name, change := range map[string]func(c *content, before [][]byte) error{
		"the first part is older": put(0),
		"a part is older":         put(2),
		"the last part is older":  put(4),
		"all are older": func(c *content, before [][]byte) (err error) {
			for part := range before {
				err = errors.Join(err, put(part)(c, before))
			}
			return err
		},
		"a part is missing": func(c *content, _ [][]byte) error { return c.delete(snapshotsBucket, partKey(1, 2)) },
		"the last is missing": func(c *content, _ [][]byte) error {
			return c.delete(snapshotsBucket, partKey(1, 4))
		},
		"a part is longer": func(c *content, before [][]byte) error {
			return c.put(snapshotsBucket, partKey(1, 4), append(bytes.Clone(before[4]), 'x'))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := lossy(t, change)
			at := replay.Cursor{Epoch: 7, Revision: 4}
			for _, have := range []replay.Cursor{{}, {Epoch: 7, Revision: 2}} {
				if head, err := s.Load(t.Context(), "id", have); !errors.Is(err, ErrDamaged) {
					t.Errorf("Load: %.40q, %v; want ErrDamaged", head.Snapshot, err)
				}
			}
			// Who has the state needs no snapshot, which is not read then.
			if head, err := s.Load(t.Context(), "id", at); err != nil || head.Cursor != at || head.SnapshotRevision != 3 {
				t.Errorf("Load by a caller who has the state: %v, %v", head, err)
			}
			if entries, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: 7}, 10); err != nil || len(entries) != 4 {
				t.Errorf("Read: %d entries, %v; want 4", len(entries), err)
			}
			// It can write the next snapshot.
			batch := withSnapshot(numbered(replay.Batch{Expect: at}, at, []replay.Entry{entryOf("data")}))
			if err := s.Append(t.Context(), "id", batch); err != nil {
				t.Fatal(err)
			}
			if head, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil || !bytes.Equal(head.Snapshot, batch.Snapshot) {
				t.Errorf("Load of the next snapshot: %.40q, %v", head.Snapshot, err)
			}
		})
	}
}

// Only the parts that differ from the snapshot before are written.
func TestSnapshot_EqualParts(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	snapshot := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	var r *recording
	for i := range 3 {
		batch := k.next("id", entryOf("data"))
		batch.Snapshot = bytes.Clone(snapshot)
		batch.Snapshot[i*100_000] = 'x'
		mustAppend(t, s, k, "id", batch)
		if r == nil {
			r = record(t, s)
		}
	}
	written := 0
	for _, e := range r.events {
		written += len(e.data)
	}
	if written > len(snapshot)/2 {
		t.Errorf("two changes to a snapshot of %d bytes make the store write %d", len(snapshot), written)
	}
	mustHold(t, s, k)
}

// growthOf appends entries of a record of 550 bytes to a history with a large
// state, each in a batch of its own, and a snapshot as often as the records are as
// large as the state. It returns by how much the file has grown.
func growthOf(t *testing.T, options *Options, entries int) int64 {
	t.Helper()
	const stateBytes, recordBytes = 256 << 10, 550
	path, k := newPath(t), model{}
	s := open(t, path, options)
	add := func(i int) {
		batch := k.next("id", replay.Entry{Key: fmt.Sprint("key ", i), Data: bytes.Repeat([]byte("x"), recordBytes)})
		batch.Meta = make([]byte, 64)
		if i%(stateBytes/recordBytes) == 0 { // as the manager does
			batch.Snapshot = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, stateBytes/2) // no part stays as it was
		}
		mustAppend(t, s, k, "id", batch)
		k["id"].epochs[0] = k["id"].entries()[len(k["id"].entries())-1:]
	}
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	add(0)
	before := size()
	for i := range entries {
		add(i + 1)
	}
	return size() - before
}

// A small change to a large state costs about its record, not the state.
func TestSnapshot_FileGrowth(t *testing.T) {
	growth := growthOf(t, nil, 1000)
	t.Logf("1,000 entries: %d KiB", growth>>10)
	if growth > 3<<19 {
		t.Errorf("1,000 entries grow the file by %d bytes; want 1.5 MiB at most", growth)
	}
	// The pages of a snapshot that was replaced are used again.
	growth = growthOf(t, &Options{MaxEntries: 1000}, 4000)
	t.Logf("4,000 entries of which 1,000 are kept: %d KiB", growth>>10)
	if growth > 1<<21 {
		t.Errorf("4,000 entries of which 1,000 are kept grow the file by %d bytes; want 2 MiB at most", growth)
	}
}
