package bolt

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// clock is a Store's clock that a test moves.
type clock struct{ ms atomic.Int64 }

func newClock(s *Store) *clock {
	c := &clock{}
	c.ms.Store(1_000_000)
	s.now = func() time.Time { return time.UnixMilli(c.ms.Load()) }
	return c
}

func (c *clock) add(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// oldestIs checks that a history is kept from a revision, by every call.
func oldestIs(t *testing.T, s *Store, k model, id string, oldest uint64) {
	t.Helper()
	want := k[id]
	head, err := s.Load(t.Context(), id, replay.Cursor{})
	if err == nil {
		err = want.sameHead(head, oldest)
	}
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	before := replay.Cursor{Epoch: head.Cursor.Epoch, Revision: oldest - 1}
	entries, err := s.Read(t.Context(), id, before, 1<<30)
	if err == nil {
		err = sameEntries(entries, want.entries()[oldest-1:])
	}
	if err != nil {
		t.Fatalf("Read from %d: %v", oldest, err)
	}
	if before.Revision > 0 {
		before.Revision--
		if _, err := s.Read(t.Context(), id, before, 1); !errors.Is(err, replay.ErrCursorTooOld) {
			t.Errorf("Read after %s, the oldest being %d: %v; want ErrCursorTooOld", before, oldest, err)
		}
	}
	for _, e := range want.entries() {
		if e.Key == "" || e.Key == "again" {
			continue
		}
		found, err := s.Find(t.Context(), id, []string{e.Key})
		if err != nil || len(found) != 0 && e.Cursor.Revision < oldest || len(found) != 1 && e.Cursor.Revision >= oldest {
			t.Errorf("Find of the key of %s, the oldest being %d: %d entries, %v", e.Cursor, oldest, len(found), err)
		}
	}
}

func keyedEntry(i int, data string) replay.Entry {
	return replay.Entry{Key: fmt.Sprint("key ", i), Data: []byte(data)}
}

func TestMaxEntries(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxEntries: 5}), model{}
	for i := range 20 {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(i, "data"))))
		oldestIs(t, s, k, "id", uint64(max(1, i+1-4)))
	}
	if n := count(t, s, entriesBucket); n != 5 {
		t.Errorf("%d entries are kept; want 5", n)
	}
	if n := count(t, s, keysBucket); n != 5 {
		t.Errorf("%d keys are kept; want 5", n)
	}
	var long []replay.Entry
	for i := range 300 {
		long = append(long, keyedEntry(100+i, "long"))
	}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", long...)))
	oldestIs(t, s, k, "id", 316)
	mustAppend(t, s, k, "id", k.next("id", replay.Entry{}))
	oldestIs(t, s, k, "id", 317) // the snapshot outlives its entry
	for range 10 {
		mustAppend(t, s, k, "id", k.next("id", replay.Entry{}))
	}
	oldestIs(t, s, k, "id", 321)
	if n := count(t, s, snapshotsBucket); n != 1 {
		t.Errorf("%d snapshots are kept; want the newest", n)
	}
}

// Entries after the newest snapshot are kept whatever the bounds, and their keys.
func TestRetention_AfterSnapshot(t *testing.T) {
	for name, options := range map[string]*Options{
		"MaxEntries": {MaxEntries: 2}, "MaxBytes": {MaxBytes: 300}, "MaxAge": {MaxAge: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			path, k := newPath(t), model{}
			s := open(t, path, options)
			clock := newClock(s)
			add := func(i int, snapshot bool) {
				t.Helper()
				batch := k.next("id", keyedEntry(i, "data"))
				batch.NewKeys = true
				if snapshot {
					batch = withSnapshot(batch)
				}
				mustAppend(t, s, k, "id", batch)
				clock.add(20 * time.Second)
			}
			// All entries are needed until there is a second snapshot.
			for i := range 8 {
				add(i, false)
			}
			clock.add(time.Hour)
			oldestIs(t, s, k, "id", 2)
			add(8, true)
			for i := range 8 {
				add(9+i, false)
				oldest := uint64(10)
				if i == 0 || i == 1 && name == "MaxAge" {
					oldest = 9
				}
				oldestIs(t, s, k, "id", oldest)
			}
			clock.add(time.Hour)
			oldestIs(t, s, k, "id", 10)
			if n := count(t, s, keysBucket); n != 8 {
				t.Errorf("%d keys are kept; want 8", n)
			}
			known := k.next("id", keyedEntry(10, "again"))
			known.NewKeys = true
			if err := s.Append(t.Context(), "id", known); !errors.Is(err, replay.ErrConflict) {
				t.Errorf("an entry with the key of one after the snapshot: %v; want a conflict", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, options)
			clock = newClock(s)
			clock.add(2 * time.Hour)
			oldestIs(t, s, k, "id", 10)
			add(17, true)
			add(18, false)
			clock.add(time.Hour)
			oldestIs(t, s, k, "id", map[string]uint64{"MaxEntries": 18, "MaxBytes": 18, "MaxAge": 19}[name])

			// What is from before a restart is not needed.
			over := numbered(replay.Batch{Expect: k["id"].head()}, replay.Cursor{Epoch: 9}, []replay.Entry{keyedEntry(20, "new"), keyedEntry(21, "new")})
			mustAppend(t, s, k, "id", over)
			clock.add(time.Hour)
			mustAppend(t, s, k, "id", k.next("id", keyedEntry(22, "more"), keyedEntry(23, "more"), keyedEntry(24, "more"), keyedEntry(25, "more")))
			oldestIs(t, s, k, "id", 3)
			if n := count(t, s, entriesBucket); n != 4 {
				t.Errorf("%d entries are kept; want the 4 since the restart", n)
			}
		})
	}
}

func TestMaxBytes(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxBytes: 1000}), model{}
	for i := range 10 { // 5 + 67 + 128 bytes are 200
		e := keyedEntry(i, string(make([]byte, 67)))
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", e)))
		oldestIs(t, s, k, "id", uint64(max(1, i+1-4)))
	}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", replay.Entry{Data: make([]byte, 2000)})))
	oldestIs(t, s, k, "id", 12)
	if n := count(t, s, entriesBucket); n != 0 {
		t.Errorf("%d entries are kept; want none", n)
	}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(50, "small"))))
	oldestIs(t, s, k, "id", 12)
}

func TestMaxAge(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxAge: time.Minute}), model{}
	clock := newClock(s)
	for i := range 6 {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(i, "data"))))
		clock.add(10 * time.Second)
	}
	oldestIs(t, s, k, "id", 1)
	clock.add(time.Millisecond)
	oldestIs(t, s, k, "id", 2)
	clock.add(20 * time.Second)
	oldestIs(t, s, k, "id", 4)
	if n := count(t, s, entriesBucket); n != 6 {
		t.Errorf("%d entries are in the file, though nothing was appended; want 6", n)
	}

	// A key is new again when its entry is too old.
	for i, known := range []bool{false, false, false, true} {
		batch := k.next("id", keyedEntry(i, "again"))
		batch.NewKeys = true
		err := s.Append(t.Context(), "id", batch)
		if refused := errors.Is(err, replay.ErrConflict); refused != known || err != nil && !refused {
			t.Fatalf("an entry with the key of revision %d: %v; want a conflict: %t", i+1, err, known)
		}
		if err == nil {
			k.add("id", batch)
		}
	}
	if n := count(t, s, entriesBucket); n != 6 {
		t.Errorf("%d entries are in the file; want those that are not too old, 3 and 3", n)
	}
	clock.add(-time.Hour) // a clock that goes back makes nothing younger
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(50, "data"))))
	clock.add(time.Hour + 59*time.Second)
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", entryOf("data"))))
	if found, err := s.Find(t.Context(), "id", []string{"key 50"}); err != nil || len(found) != 1 {
		t.Errorf("Find of what was appended when the clock was slow: %v, %v", found, err)
	}
	if head, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil || head.Oldest != 7 {
		t.Errorf("oldest %d, %v; want 7", head.Oldest, err)
	}
	clock.add(time.Hour)
	if head, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil || head.Oldest != head.Cursor.Revision+1 {
		t.Errorf("head %s, oldest %d, %v; want nothing kept", head.Cursor, head.Oldest, err)
	}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", entryOf("data"))))
	if n := count(t, s, entriesBucket); n != 1 {
		t.Errorf("%d entries are in the file; want 1", n)
	}
}

func TestMaxAge_Exact(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxAge: time.Minute}), model{}
	clock := newClock(s)
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(0, "data"))))
	clock.add(time.Minute)
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(1, "data"))))
	oldestIs(t, s, k, "id", 1)
	if n := count(t, s, entriesBucket); n != 2 {
		t.Errorf("%d entries are in the file; want 2", n)
	}
	clock.add(time.Millisecond)
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(2, "data"))))
	oldestIs(t, s, k, "id", 2)
	if n := count(t, s, entriesBucket); n != 2 {
		t.Errorf("%d entries are in the file; want 2", n)
	}
}

func TestMaxEntries_Lowered(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	for i := range 5 {
		var entries []replay.Entry
		for j := range 200 {
			entries = append(entries, keyedEntry(200*i+j, "data"))
		}
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", entries...)))
	}
	oldestIs(t, s, k, "id", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, &Options{MaxEntries: 10})
	oldestIs(t, s, k, "id", 1)
	for i, oldest := range []uint64{1 + 257, 1 + 2*257, 1 + 3*257, 995, 996} {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(2000+i, "data"))))
		oldestIs(t, s, k, "id", oldest)
	}
}

func TestTrim_KeyOfNewerEntry(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxEntries: 3}), model{}
	again := func() replay.Entry { return replay.Entry{Key: "again", Data: []byte("data")} }
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", again(), entryOf("b"), again())))
	for _, want := range []int{1, 1, 0} {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", entryOf("more"))))
		found, err := s.Find(t.Context(), "id", []string{"again"})
		if err != nil || len(found) != want || want > 0 && found[0].Cursor.Revision != 3 {
			t.Errorf("Find: %v, %v; want the entry at 3 %d times", found, err, want)
		}
	}
}

func TestTrim_EarlierEpochs(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxEntries: 6}), model{}
	for i := range 5 {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(i, "old"))))
	}
	old := k["id"].head()
	mustAppend(t, s, k, "id", numbered(replay.Batch{Expect: old}, replay.Cursor{Epoch: 9}, []replay.Entry{keyedEntry(10, "new"), keyedEntry(11, "new")}))
	oldestIs(t, s, k, "id", 1)
	find := func(i, want int) {
		t.Helper()
		found, err := s.Find(t.Context(), "id", []string{fmt.Sprint("key ", i)})
		if err != nil || len(found) != want {
			t.Errorf("Find of key %d: %v, %v; want %d", i, found, err, want)
		}
	}
	find(0, 0)
	find(1, 1)
	find(4, 1)
	if _, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: 7, Revision: 3}, 10); !errors.Is(err, replay.ErrUnknownEpoch) {
		t.Errorf("Read in the epoch from before: %v; want ErrUnknownEpoch", err)
	}
	for i := range 6 {
		mustAppend(t, s, k, "id", withSnapshot(k.next("id", keyedEntry(20+i, "new"))))
		oldestIs(t, s, k, "id", uint64(max(1, i+3-5)))
	}
	find(4, 0)
	if n := count(t, s, entriesBucket); n != 6 {
		t.Errorf("%d entries are kept; want 6", n)
	}
}

func TestStartOver_NothingKept(t *testing.T) {
	s, k := open(t, newPath(t), &Options{MaxBytes: 500}), model{}
	huge := replay.Entry{Data: make([]byte, 1000)}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", huge)))
	oldestIs(t, s, k, "id", 2)
	over := numbered(replay.Batch{Expect: k["id"].head()}, replay.Cursor{Epoch: 9}, []replay.Entry{keyedEntry(1, "new")})
	mustAppend(t, s, k, "id", over)
	oldestIs(t, s, k, "id", 1)
	if n := count(t, s, snapshotsBucket); n != 1 {
		t.Errorf("%d snapshots are left; want the newest", n)
	}
	mustAppend(t, s, k, "id", withSnapshot(k.next("id", huge)))
	oldestIs(t, s, k, "id", 3)
}
