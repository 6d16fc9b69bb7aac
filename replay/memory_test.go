package replay_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/replaytest"
)

const epoch = 7

func TestConformance(t *testing.T) {
	replaytest.Run(t, replaytest.Harness{
		Open: func(t testing.TB) replay.Store { return newMemory(t, nil) },
		OpenBounded: func(t testing.TB, entries int) replay.Store {
			return newMemory(t, &replay.MemoryOptions{MaxEntries: entries})
		},
		OpenBoundedBy: map[string]func(testing.TB) replay.Store{
			"bytes": func(t testing.TB) replay.Store { return newMemory(t, &replay.MemoryOptions{MaxBytes: 1}) },
			"age":   func(t testing.TB) replay.Store { return newMemory(t, &replay.MemoryOptions{MaxAge: 1}) },
		},
		Second: func(t testing.TB, store replay.Store) replay.Store { return handle{store} },
	})
}

// handle is another handle on a Memory. It has no Close.
type handle struct{ replay.Store }

func newMemory(t testing.TB, options *replay.MemoryOptions) *replay.Memory {
	t.Helper()
	m, err := replay.NewMemory(options)
	if err != nil {
		t.Fatalf("NewMemory(%+v): %v", options, err)
	}
	return m
}

func at(revision uint64) replay.Cursor { return replay.Cursor{Epoch: epoch, Revision: revision} }

// put appends one entry with a snapshot at the head and returns the new head.
func put(t testing.TB, m *replay.Memory, id string, head uint64, entry replay.Entry) uint64 {
	t.Helper()
	return putSnapshot(t, m, id, head, entry, []byte("state"))
}

// putSnapshot appends one entry at the head, with the snapshot if it is not nil, and
// returns the new head.
func putSnapshot(t testing.TB, m *replay.Memory, id string, head uint64, entry replay.Entry, snapshot []byte) uint64 {
	t.Helper()
	entry.Cursor = at(head + 1)
	batch := replay.Batch{Expect: at(head), Entries: []replay.Entry{entry}, Snapshot: snapshot}
	if head == 0 {
		batch.Expect = replay.Cursor{}
	}
	if err := m.Append(t.Context(), id, batch); err != nil {
		t.Fatalf("Append at %s: %v", batch.Expect, err)
	}
	return head + 1
}

func TestMissed_IsBounded(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 1500})
	var head uint64
	for range 2000 {
		head = put(t, m, "id", head, replay.Entry{})
	}
	for _, test := range []struct {
		expect uint64
		want   int
	}{
		{1999, 1}, {1500, 500}, {1000, 1000}, {999, 0}, {600, 0}, {100, 0}, {2001, 0},
	} {
		err := m.Append(t.Context(), "id", replay.Batch{Expect: at(test.expect), Entries: []replay.Entry{{Cursor: at(test.expect + 1)}}})
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok {
			t.Fatalf("Append at %d: error %v; want a ConflictError", test.expect, err)
		}
		if len(conflict.Missed) != test.want {
			t.Errorf("expecting %d of %d: %d entries were missed; want %d", test.expect, head, len(conflict.Missed), test.want)
		}
	}
}

// startAndRemove removes the history that it starts in the epoch.
func startAndRemove(t testing.TB, m *replay.Memory, id string, epoch uint64) error {
	t.Helper()
	return m.Append(t.Context(), id, replay.Batch{
		Entries: []replay.Entry{{Cursor: replay.Cursor{Epoch: epoch, Revision: 1}}},
		Remove:  true,
	})
}

func TestRemove_OldEpochsRefused(t *testing.T) {
	const many = 30_000
	m := newMemory(t, nil)
	for i := range uint64(many) {
		if err := startAndRemove(t, m, fmt.Sprint(i), 1+i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(many) {
		id := fmt.Sprint(i)
		err := startAndRemove(t, m, id, 1+i)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head.Epoch < 1+i {
			t.Fatalf("%q starts in its old epoch %d: error %v; want a ConflictError of that or a later epoch", id, 1+i, err)
		}
		if err := startAndRemove(t, m, id, conflict.Head.Epoch+1); err != nil {
			t.Fatalf("%q starts in the epoch after the one it was refused for: %v", id, err)
		}
	}
	// An id that never had a history is refused such an early epoch too.
	err := startAndRemove(t, m, "new", 1)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok || conflict.Reason != replay.ConflictRemoved {
		t.Fatalf("a new id in epoch 1: error %v; want a ConflictError", err)
	}
	if err := startAndRemove(t, m, "new", replay.NewEpoch(conflict.Head.Epoch)); err != nil {
		t.Errorf("a new id in a new epoch: %v", err)
	}
}

func TestRemove_OtherIDsUnaffected(t *testing.T) {
	m := newMemory(t, nil)
	for i := range 50 {
		if err := startAndRemove(t, m, fmt.Sprint(i), 1<<60); err != nil {
			t.Fatal(err)
		}
	}
	if err := startAndRemove(t, m, "other", 1); err != nil {
		t.Errorf("an id cannot start in an epoch before those of removed histories: %v", err)
	}
}

func TestMemory_ReleasesTrimmed(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 2})
	var data, snapshots, metas []weak.Pointer[byte]
	fresh := func(to *[]weak.Pointer[byte]) []byte {
		bytes := make([]byte, 64)
		*to = append(*to, weak.Make(&bytes[0]))
		return bytes
	}
	for i := range uint64(8) {
		batch := replay.Batch{
			Expect:   at(i),
			Entries:  []replay.Entry{{Cursor: at(i + 1), Data: fresh(&data)}},
			Snapshot: fresh(&snapshots),
			Meta:     fresh(&metas),
		}
		if i == 0 {
			batch.Expect = replay.Cursor{}
		}
		if err := m.Append(t.Context(), "id", batch); err != nil {
			t.Fatal(err)
		}
	}
	held := func(what string, pointers []weak.Pointer[byte], want int) {
		t.Helper()
		runtime.GC()
		got := 0
		for _, pointer := range pointers {
			if pointer.Value() != nil {
				got++
			}
		}
		if got != want {
			t.Errorf("%d of %d %s are held; want %d", got, len(pointers), what, want)
		}
	}
	held("data", data, 2)
	held("snapshots", snapshots, 1)
	held("metas", metas, 1)

	last := replay.Batch{Expect: at(8), Entries: []replay.Entry{{Cursor: at(9)}}, Remove: true}
	if err := m.Append(t.Context(), "id", last); err != nil {
		t.Fatal(err)
	}
	held("data of a removed history", data, 0)
	held("snapshots of a removed history", snapshots, 0)
	held("metas of a removed history", metas, 0)

	putSnapshot(t, m, "closed", 0, replay.Entry{Data: fresh(&data)}, fresh(&snapshots))
	held("data", data, 1)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	held("data of a closed store", data, 0)
	held("snapshots of a closed store", snapshots, 0)
	runtime.KeepAlive(m)
}

func TestIDs_ContextEnds(t *testing.T) {
	m := newMemory(t, nil)
	for i := range 100 {
		put(t, m, fmt.Sprint(i), 0, replay.Entry{})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ids, errs := 0, 0
	for _, err := range m.IDs(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("IDs: %v; want context.Canceled", err)
			}
			errs++
			continue
		}
		if ids++; ids == 10 {
			cancel()
		}
	}
	if ids != 10 || errs != 1 {
		t.Errorf("IDs yielded %d ids and %d errors; want 10 and 1", ids, errs)
	}
}

func TestAppend_Allocations(t *testing.T) {
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

// restart is a batch of one entry that restarts the history at head.
func restart(head replay.Cursor, entry replay.Entry) replay.Batch {
	entry.Cursor = replay.Cursor{Epoch: head.Epoch + 1, Revision: 1}
	return replay.Batch{Expect: head, Entries: []replay.Entry{entry}, Snapshot: []byte("restarted")}
}

func TestRestart_KeepsNothing(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 10})
	var before []weak.Pointer[byte]
	fresh := func() []byte {
		bytes := make([]byte, 64)
		before = append(before, weak.Make(&bytes[0]))
		return bytes
	}
	var head uint64
	for i := range 7 {
		head = putSnapshot(t, m, "id", head, replay.Entry{Key: fmt.Sprint("key ", i), Data: fresh()}, fresh())
	}
	batch := restart(at(head), replay.Entry{Data: []byte("data"), Key: "new"})
	if err := m.Append(t.Context(), "id", batch); err != nil {
		t.Fatalf("Append: %v", err)
	}
	runtime.GC()
	for i, pointer := range before {
		if pointer.Value() != nil {
			t.Errorf("data or snapshot %d of %d is held", i, len(before))
		}
	}
	found, err := m.Find(t.Context(), "id", []string{"key 1", "new", "key 6"})
	if err != nil || len(found) != 1 || found[0].Cursor != batch.Last() {
		t.Errorf("Find: %+v, error %v; want the new entry", found, err)
	}

	// All of MaxEntries is left for the new epoch.
	for i := range 9 {
		next := replay.Batch{Expect: batch.Last(), Entries: []replay.Entry{{Cursor: batch.Last().Next()}}}
		if err = m.Append(t.Context(), "id", next); err != nil {
			t.Fatalf("Append %d: %v", i, err)
		}
		if head, err := m.Load(t.Context(), "id", replay.Cursor{}); err != nil || head.Oldest != 1 {
			t.Fatalf("after append %d: oldest %d, error %v; want 1", i, head.Oldest, err)
		}
		batch = next
	}
	runtime.KeepAlive(m)
}

func TestRestart_ThenRemove(t *testing.T) {
	m := newMemory(t, nil)
	put(t, m, "id", 0, replay.Entry{})
	batch := restart(at(1), replay.Entry{})
	batch.Remove = true
	if err := m.Append(t.Context(), "id", batch); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []uint64{epoch, epoch + 1} {
		err := startAndRemove(t, m, "id", refused)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head != batch.Last() {
			t.Errorf("in epoch %d: error %v; want a ConflictError with head %s, removed", refused, err, batch.Last())
		}
	}
	if err := startAndRemove(t, m, "id", epoch+2); err != nil {
		t.Errorf("in a later epoch: %v", err)
	}
}
