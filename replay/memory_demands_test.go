package replay_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/safe-go/safe/replay"
)

// over is a batch of one entry that starts the history at head over.
func over(head replay.Cursor, entry replay.Entry) replay.Batch {
	entry.Cursor = replay.Cursor{Epoch: head.Epoch + 1, Revision: 1}
	return replay.Batch{Expect: head, Entries: []replay.Entry{entry}}
}

// known appends an entry with a key that must be new at the head, and returns
// what is known by it if it is not.
func known(t testing.TB, m *replay.Memory, head uint64, key string) []replay.Entry {
	t.Helper()
	err := m.Append(t.Context(), "id", replay.Batch{
		Expect:  at(head),
		Entries: []replay.Entry{{Cursor: at(head + 1), Key: key}},
		NewKeys: true,
	})
	conflict, refused := errors.AsType[*replay.ConflictError](err)
	if err != nil && (!refused || conflict.Head != at(head) || conflict.Known == nil) {
		t.Fatalf("Append of key %q at %d: error %v; want none or a ConflictError with Known", key, head, err)
	}
	if refused {
		return conflict.Known
	}
	return nil
}

func TestAKeyIsNewAgainWhenItsEntryIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, &replay.MemoryOptions{MaxAge: time.Minute})
		put(t, m, "id", 0, replay.Entry{Key: "key"})
		time.Sleep(time.Minute)
		if got := known(t, m, 1, "key"); len(got) != 1 || got[0].Cursor != at(1) {
			t.Errorf("after a minute %+v is known; want the entry at 1", got)
		}
		time.Sleep(time.Nanosecond)
		if got := known(t, m, 1, "key"); got != nil {
			t.Errorf("after a minute and a nanosecond %+v is known; want nothing", got)
		}
		if got := known(t, m, 2, "key"); len(got) != 1 || got[0].Cursor != at(2) {
			t.Errorf("after it was used again %+v is known; want the entry at 2", got)
		}
	})
}

func TestAKeyIsNewAgainWhenItsEntryWasTrimmed(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 2})
	put(t, m, "id", 0, replay.Entry{Key: "key"})
	put(t, m, "id", 1, replay.Entry{})
	if got := known(t, m, 2, "key"); len(got) != 1 {
		t.Errorf("%+v is known; want the entry at 1", got)
	}
	put(t, m, "id", 2, replay.Entry{})
	if got := known(t, m, 3, "key"); got != nil {
		t.Errorf("%+v is known; want nothing", got)
	}
}

func TestWhatABatchDemandsCostsNoAllocation(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 4})
	a := newAppender("id", 1)
	a.batch.Meta, a.batch.ExpectMeta, a.batch.NewKeys = []byte("meta"), []byte("meta"), true
	step := func() {
		if err := m.Append(t.Context(), a.id, a.batch); err != nil {
			t.Fatal(err)
		}
		a.batch.Expect = a.batch.Last()
		a.batch.Entries[0].Cursor.Revision++
	}
	for range 10 {
		step()
	}
	if allocs := testing.AllocsPerRun(100, step); allocs > 0 {
		t.Errorf("an append allocates %v times", allocs)
	}
}

func TestAMemoryKeepsNothingFromBeforeAStartOver(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 10})
	var before []weak.Pointer[byte]
	fresh := func() []byte {
		bytes := make([]byte, 64)
		before = append(before, weak.Make(&bytes[0]))
		return bytes
	}
	var head uint64
	for i := range 7 {
		head, _ = put(t, m, "id", head, replay.Entry{Key: fmt.Sprint("key ", i), Data: fresh(), State: fresh()})
	}
	batch := over(at(head), replay.Entry{Data: []byte("data"), Key: "new"})
	if err := m.Append(t.Context(), "id", batch); err != nil {
		t.Fatalf("Append: %v", err)
	}
	runtime.GC()
	for i, pointer := range before {
		if pointer.Value() != nil {
			t.Errorf("data or state %d of %d is held", i, len(before))
		}
	}
	found, err := m.Find(t.Context(), "id", []string{"key 1", "new", "key 6"})
	if err != nil || len(found) != 1 || found[0].Cursor != batch.Last() {
		t.Errorf("Find: %+v, error %v; want the new entry", found, err)
	}

	// It has room for as many entries as any other history.
	for i := range 9 {
		next := replay.Batch{Expect: batch.Last(), Entries: []replay.Entry{{Cursor: batch.Last().Next()}}}
		if err = m.Append(t.Context(), "id", next); err != nil {
			t.Fatalf("Append %d: %v", i, err)
		}
		if head, err := m.Load(t.Context(), "id"); err != nil || head.Oldest != 1 {
			t.Fatalf("after append %d: oldest %d, error %v; want 1", i, head.Oldest, err)
		}
		batch = next
	}
	runtime.KeepAlive(m)
}

func TestARemovedHistoryHasHadTheEpochsFromBeforeItStartedOver(t *testing.T) {
	m := newMemory(t, nil)
	put(t, m, "id", 0, replay.Entry{})
	batch := over(at(1), replay.Entry{})
	batch.Remove = true
	if err := m.Append(t.Context(), "id", batch); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []uint64{epoch, epoch + 1} {
		err := end(t, m, "id", refused)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head != batch.Last() {
			t.Errorf("in epoch %d: error %v; want a ConflictError with head %s, removed", refused, err, batch.Last())
		}
	}
	if err := end(t, m, "id", epoch+2); err != nil {
		t.Errorf("in a later epoch: %v", err)
	}
}
