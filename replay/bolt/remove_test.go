package bolt

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// long starts a history of many entries.
func long(t *testing.T, s *Store, k model, id string, entries int) {
	t.Helper()
	var batch []replay.Entry
	for i := range entries {
		batch = append(batch, keyedEntry(i, "data"))
	}
	mustAppend(t, s, k, id, k.next(id, batch...))
}

func remove(t *testing.T, s *Store, k model, id string) {
	t.Helper()
	batch := k.next(id, entryOf("the end"))
	batch.Remove = true
	mustAppend(t, s, k, id, batch)
}

func restart(t *testing.T, s *Store, k model, id string, epoch uint64, entries ...replay.Entry) {
	t.Helper()
	mustAppend(t, s, k, id, numbered(replay.Batch{}, replay.Cursor{Epoch: epoch}, entries))
}

func TestRemove_DeletesInParts(t *testing.T) {
	const entries = 5 * deletesPerGroup
	s, k := open(t, newPath(t), nil), model{}
	long(t, s, k, "id", entries)
	long(t, s, k, "other", 10)
	before, _ := s.durable.newest()
	remove(t, s, k, "id")
	if _, err := s.Read(t.Context(), "id", replay.Cursor{Epoch: 7}, 10); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("Read of a removed history: %v; want ErrNotFound", err)
	}
	restart(t, s, k, "id", 8, entryOf("again"))
	for i := range entries {
		if found, err := s.Find(t.Context(), "id", []string{fmt.Sprint("key ", i)}); len(found) > 0 || err != nil {
			t.Fatalf("Find of a key of a removed history: %v, %v", found, err)
		}
	}
	mustHold(t, s, k)
	await(t, "the entries to be deleted", func() bool { return count(t, s, removedBucket) == 0 })
	if n := count(t, s, entriesBucket); n != 11 {
		t.Errorf("%d entries are left; want 11", n)
	}
	if n := count(t, s, keysBucket); n != 10 {
		t.Errorf("%d keys are left; want 10", n)
	}
	if after, _ := s.durable.newest(); after < before+2*entries/deletesPerGroup {
		t.Errorf("%d entries and keys were deleted in %d commits", 2*entries, after-before)
	}
	mustHold(t, s, k)
}

func TestRemove_DeletesAfterReopen(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	long(t, s, k, "id", 5*deletesPerGroup)
	batch := k.next("id", entryOf("the end"))
	batch.Remove = true
	commits := 0 // only the removal itself succeeds
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		if isMeta(s, off) {
			commits++
		}
		if commits > 1 {
			return 0, errors.New("no more for now")
		}
		return write(b, off)
	})
	mustAppend(t, s, k, "id", batch)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, nil)
	if n := count(t, s, removedBucket); n != 1 {
		t.Fatalf("%d removed histories have something left; want 1", n)
	}
	mustHold(t, s, k)
	restart(t, s, k, "other", 3, entryOf("data"))
	await(t, "the entries to be deleted", func() bool { return count(t, s, removedBucket) == 0 })
	if n := count(t, s, entriesBucket); n != 1 {
		t.Errorf("%d entries are left; want 1", n)
	}
	mustHold(t, s, k)
}

func TestTombstones_Expire(t *testing.T) {
	s, k := open(t, newPath(t), nil), model{}
	clock := newClock(s)
	for i := range 10 {
		id := fmt.Sprint("id ", i)
		restart(t, s, k, id, uint64(100+i), entryOf("data"))
		remove(t, s, k, id)
		clock.add(time.Second)
	}
	clock.add(tombstoneAge - 5*time.Second)
	// Five are a month old now. The next removals forget them.
	for i, left := range []int{10 - tombstonesPerRemoval + 1, 5 + 1} {
		restart(t, s, k, "last", uint64(1000+i), entryOf("data"))
		remove(t, s, k, "last")
		for _, b := range []*bucket{tombstonesBucket, tombstoneTimesBucket} {
			if n := count(t, s, b); n != left {
				t.Errorf("%q has %d tombstones after %d removals; want %d", b.name, n, i+1, left)
			}
		}
	}
	refused := func(id string, epoch, head uint64) {
		t.Helper()
		batch := numbered(replay.Batch{}, replay.Cursor{Epoch: epoch}, []replay.Entry{entryOf("lost")})
		err := s.Append(t.Context(), id, batch)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head.Epoch != head {
			t.Errorf("%q in epoch %d: %v; want a conflict with epoch %d, removed", id, epoch, err, head)
		}
	}
	refused("id 0", 104, 104) // the latest that was forgotten
	refused("id 9", 109, 109) // known exactly
	refused("id 9", 108, 109)
	refused("never seen", 104, 104)
	restart(t, s, k, "id 0", 105, entryOf("again"))
	restart(t, s, k, "never seen", 105, entryOf("data"))
	restart(t, s, k, "id 9", 110, entryOf("again"))
	if n := count(t, s, tombstonesBucket); n != 5 {
		t.Errorf("%d tombstones; want 5, as one history was started again", n)
	}
	if n := count(t, s, tombstoneTimesBucket); n != 5 {
		t.Errorf("%d tombstones by time; want 5", n)
	}
	mustHold(t, s, k)
}

func TestTombstones_Persist(t *testing.T) {
	path, k := newPath(t), model{}
	s := open(t, path, nil)
	clock := newClock(s)
	restart(t, s, k, "old", 500, entryOf("data"))
	remove(t, s, k, "old")
	clock.add(tombstoneAge + time.Second)
	restart(t, s, k, "new", 600, entryOf("data"))
	remove(t, s, k, "new")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, nil)
		for id, epoch := range map[string]uint64{"old": 500, "new": 600, "any": 500} {
			batch := numbered(replay.Batch{}, replay.Cursor{Epoch: epoch}, []replay.Entry{entryOf("lost")})
			if err := s.Append(t.Context(), id, batch); !errors.Is(err, replay.ErrConflict) {
				t.Errorf("%q in epoch %d: %v; want a conflict", id, epoch, err)
			}
		}
	}
	restart(t, s, k, "any", 501, entryOf("data"))
	mustHold(t, s, k)
}
