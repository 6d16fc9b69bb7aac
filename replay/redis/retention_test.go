package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// sized is a batch of one entry with that many bytes of data, and a snapshot.
func sized(head replay.Cursor, size int) replay.Batch {
	batch := next(head, strings.Repeat("x", size))
	if head.Revision == 0 {
		batch.Expect = replay.Cursor{}
	}
	return withSnapshot(batch)
}

func TestMaxBytes(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	const entry, kept = 1000 + 128, 50
	s := open(t, client, &Options{MaxBytes: kept * entry})
	head, least := at(0), kept
	for range 300 {
		head = put(t, s, "id", sized(head, 1000))
		loaded, err := s.Load(t.Context(), "id", replay.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		length := int(loaded.Cursor.Revision - loaded.Oldest + 1)
		if length > kept {
			t.Fatalf("%d entries are kept at %s; want %d at most", length, head, kept)
		}
		if head.Revision > kept {
			least = min(least, length)
		}
	}
	if least < kept-kept/16-1 {
		t.Errorf("only %d entries were kept; want a sixteenth less than %d at least", least, kept)
	}
	// The newest entry is kept even if it is larger than all that may be.
	batch := keyed(sized(head, 100*entry), "large")
	head = put(t, s, "id", batch)
	entries, err := s.Read(t.Context(), "id", at(head.Revision-1), 10)
	if err != nil || len(entries) != 1 || len(entries[0].Data) != 100*entry {
		t.Fatalf("%d entries, %v; want the large one", len(entries), err)
	}
	if found, err := s.Find(t.Context(), "id", []string{"large"}); err != nil || len(found) != 1 {
		t.Fatalf("%d entries are found, %v; want the large one", len(found), err)
	}
	head = put(t, s, "id", sized(head, 10))
	if loaded, err := s.Load(t.Context(), "id", replay.Cursor{}); err != nil || loaded.Oldest != head.Revision {
		t.Errorf("oldest is %d, %v; want %d", loaded.Oldest, err, head.Revision)
	}
	// What is counted is what is there.
	fields, err := client.HGetAll(t.Context(), s.naming.keys("id").head).Result()
	if err != nil || fields["y"] != fmt.Sprint(10+128) || fields["e"] != "1" || fields["n"] != "0" {
		t.Errorf("the head counts %v, %v", fields, err)
	}
}

func TestMaxAge(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	forever, s := open(t, client, nil), open(t, client, &Options{MaxAge: time.Hour})
	head := put(t, forever, "id", keyed(start(firstEpoch, "a", "b", "c"), "key a", "", "key c"))
	head = put(t, s, "id", next(head, "d"))
	if got := datas(t, s, "id", firstEpoch); len(got) != 4 {
		t.Fatalf("of young entries are kept %q", got)
	}
	brief := open(t, client, &Options{MaxAge: time.Millisecond})
	// The server's clock counts milliseconds.
	before := serverTime(t, s)
	eventually(t, "the server's clock", func() bool { return serverTime(t, s) > before+2*time.Millisecond })
	put(t, brief, "id", withSnapshot(next(head, "e")))
	if oldest := oldestOf(t, brief, "id"); oldest != 5 {
		t.Fatalf("oldest is %d; want 5", oldest)
	}
	if found, err := s.Find(t.Context(), "id", []string{"key a", "key c"}); err != nil || len(found) != 0 {
		t.Errorf("%d entries are found by forgotten keys, %v", len(found), err)
	}
	if got, err := s.Read(t.Context(), "id", at(4), 10); err != nil || len(got) != 1 {
		t.Errorf("%d entries are kept, %v; want the newest", len(got), err)
	}
}

// oldestOf is the oldest revision that is kept of a history.
func oldestOf(t *testing.T, s *Store, id string) uint64 {
	t.Helper()
	head, err := s.Load(t.Context(), id, replay.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	return head.Oldest
}

func serverTime(t *testing.T, s *Store) time.Duration {
	t.Helper()
	now, err := s.servers.asOne().client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.UnixNano())
}

// A bound is set after the history became long. No append may take long for it.
func TestTrim_LongHistoryInSteps(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Fsync: "no"}).Client()
	forever, s := open(t, client, nil), open(t, client, &Options{MaxEntries: 10})
	batch := start(firstEpoch, make([]string, 5000)...)
	for i := range batch.Entries {
		batch.Entries[i].Key = fmt.Sprint("key ", i)
	}
	head := put(t, forever, "id", batch)
	oldest := uint64(1)
	for appends := 0; head.Revision-oldest >= 10+slack; appends++ {
		head = put(t, s, "id", withSnapshot(next(head, "x")))
		now := oldestOf(t, s, "id")
		if now-oldest > 400 {
			t.Errorf("one append trimmed %d entries", now-oldest)
		}
		if oldest = now; appends > 100 {
			t.Fatalf("after %d appends oldest is %d of %s", appends, oldest, head)
		}
	}
	var keys []string
	for i := range 5000 {
		keys = append(keys, fmt.Sprint("key ", i))
	}
	found, err := s.Find(t.Context(), "id", keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range found {
		if entry.Cursor.Revision < oldest {
			t.Errorf("the key of %s is found, oldest is %d", entry.Cursor, oldest)
		}
	}
}

// Entries of earlier epochs do not count against those of the newest.
func TestTrim_EarlierEpochsFirst(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, &Options{MaxEntries: 150})
	head := put(t, s, "id", start(firstEpoch, make([]string, 200)...))
	over := numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, make([]string, 40)...)
	put(t, s, "id", over)
	if oldest := oldestOf(t, s, "id"); oldest != 1 {
		t.Fatalf("oldest is %d; want 1", oldest)
	}
	head = over.Last()
	for range 300 {
		head = put(t, s, "id", withSnapshot(next(head, "x")))
		loaded, err := s.Load(t.Context(), "id", replay.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		entries, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: head.Epoch, Revision: loaded.Oldest - 1}, 1000)
		if err != nil || uint64(len(entries)) != head.Revision-loaded.Oldest+1 {
			t.Fatalf("oldest is %d of %s, but %d entries are read, %v", loaded.Oldest, head, len(entries), err)
		}
		if len(entries) < int(min(head.Revision, 150)) || len(entries) > 150+slack {
			t.Fatalf("%d entries are kept at %s", len(entries), head)
		}
	}
}

// Entries after the newest snapshot are kept whatever the bounds, with their keys, and
// trimmed once there is another snapshot.
func TestTrim_KeepsAfterSnapshot(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Fsync: "no"}).Client()
	for name, options := range map[string]*Options{
		"MaxEntries": {MaxEntries: 10},
		"MaxBytes":   {MaxBytes: 10 * (128 + 1)},
		"MaxAge":     {MaxAge: time.Millisecond},
		"all":        {MaxEntries: 1, MaxBytes: 1, MaxAge: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, client, options)
			head := put(t, s, name, start(firstEpoch, "x"))
			for i := range 3 {
				snapshot := head.Revision
				var keys []string
				for j := range 60 {
					key := fmt.Sprint(i, " ", j)
					head = put(t, s, name, keyed(next(head, "x", "x", "x"), key))
					keys = append(keys, key)
				}
				// Younger than the bound are the last ones at most.
				before := serverTime(t, s)
				eventually(t, "the server's clock", func() bool { return serverTime(t, s) > before+2*time.Millisecond })
				head = put(t, s, name, next(head, "x"))
				loaded, err := s.Load(t.Context(), name, replay.Cursor{})
				if err != nil || loaded.SnapshotRevision != snapshot || loaded.Oldest > snapshot+1 {
					t.Fatalf("oldest is %d, the snapshot of %d, %v; want all entries after %d", loaded.Oldest, loaded.SnapshotRevision, err, snapshot)
				}
				entries, err := s.Read(t.Context(), name, at(snapshot), 1000)
				if err != nil || len(entries) != 181 {
					t.Fatalf("%d entries follow the snapshot, %v; want 181", len(entries), err)
				}
				if found, err := s.Find(t.Context(), name, keys); err != nil || len(found) != len(keys) {
					t.Fatalf("%d keys are found, %v; want %d", len(found), err, len(keys))
				}
				head = put(t, s, name, withSnapshot(next(head, "x")))
				if oldest := oldestOf(t, s, name); head.Revision-oldest > 9 {
					t.Errorf("oldest is %d of %s; want ten entries at most", oldest, head)
				}
				if found, err := s.Find(t.Context(), name, keys); err != nil || len(found) > 3 {
					t.Errorf("%d keys are found after the next snapshot, %v; want those of ten entries at most", len(found), err)
				}
			}
		})
	}
}

// Tombstones are kept for a bounded time.
func TestTombstone_Expires(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	put(t, s, "id", removing(start(firstEpoch, "a")))
	left, err := client.TTL(t.Context(), s.naming.keys("id").tombstone).Result()
	if err != nil || left <= tombstoneKept-time.Minute || left > tombstoneKept {
		t.Errorf("the tombstone expires after %v, %v; want %v", left, err, tombstoneKept)
	}
	head := put(t, s, "id", start(firstEpoch+1, "b"))
	if left, err := client.TTL(t.Context(), s.naming.keys("id").tombstone).Result(); err != nil || left <= 0 {
		t.Errorf("after another start it expires after %v, %v", left, err)
	}
	put(t, s, "id", removing(next(head, "c")))
	names, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 1 {
		t.Errorf("of a removed history are left %q, %v", names, err)
	}
}

// A history that was lost was not removed, although an earlier one was.
func TestTombstone_OfEarlierHistory(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	put(t, s, "id", removing(start(firstEpoch, "a")))
	head := put(t, s, "id", start(firstEpoch+1, "b"))
	k := s.naming.keys("id")
	if err := client.Del(t.Context(), k.head, k.stream).Err(); err != nil {
		t.Fatal(err)
	}
	conflict := conflictOf(t, s.Append(t.Context(), "id", next(head, "c")))
	if conflict.Reason == replay.ConflictRemoved || !conflict.Head.IsZero() {
		t.Errorf("the head is %s, removed %t; want neither", conflict.Head, conflict.Reason == replay.ConflictRemoved)
	}
	conflict = conflictOf(t, s.Append(t.Context(), "id", start(firstEpoch, "c")))
	if conflict.Head.Epoch != firstEpoch {
		t.Errorf("an epoch it has had is refused with head %s", conflict.Head)
	}
	put(t, s, "id", start(firstEpoch+2, "d"))
}
