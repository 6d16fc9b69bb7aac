package replay_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/safe-go/safe/replay"
)

const epoch = 7

func at(revision uint64) replay.Cursor { return replay.Cursor{Epoch: epoch, Revision: revision} }

// put appends one entry at the head, which it returns.
func put(t testing.TB, m *replay.Memory, id string, head uint64, entry replay.Entry) (newHead, oldest uint64) {
	t.Helper()
	entry.Cursor = at(head + 1)
	batch := replay.Batch{Expect: at(head), Entries: []replay.Entry{entry}}
	if head == 0 {
		batch.Expect = replay.Cursor{}
	}
	if err := m.Append(t.Context(), id, batch); err != nil {
		t.Fatalf("Append at %s: %v", batch.Expect, err)
	}
	now, err := m.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load after the append at %s: %v", batch.Expect, err)
	}
	return head + 1, now.Oldest
}

// wantOldest checks that all methods are of one mind about the oldest entry.
func wantOldest(t *testing.T, m *replay.Memory, id string, head, want uint64) {
	t.Helper()
	// Read first: it must see for itself what is too old by now.
	if want > 1 {
		if _, err := m.Read(t.Context(), id, at(want-2), 1); !errors.Is(err, replay.ErrCursorTooOld) {
			t.Errorf("Read after revision %d: error %v; want ErrCursorTooOld", want-2, err)
		}
	}
	entries, err := m.Read(t.Context(), id, at(want-1), int(head)+1)
	if err != nil || len(entries) != int(head+1-want) {
		t.Errorf("Read after revision %d: %d entries, error %v; want %d", want-1, len(entries), err, head+1-want)
	}
	loaded, err := m.Load(t.Context(), id)
	if err != nil || loaded.Oldest != want || loaded.Cursor != at(head) {
		t.Errorf("Load: head %s, oldest %d, error %v; want %s, %d", loaded.Cursor, loaded.Oldest, err, at(head), want)
	}
}

func TestMemoryOptionsAreCheckedAndHaveDefaults(t *testing.T) {
	refused := map[string]replay.MemoryOptions{
		"MaxEntries": {MaxEntries: -2},
		"MaxBytes":   {MaxBytes: -100},
		"MaxAge":     {MaxAge: -time.Second},
	}
	for name, options := range refused {
		m, err := replay.NewMemory(&options)
		if err == nil || m != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("NewMemory(%+v): error %v; want one that names %s", options, err, name)
		}
	}

	tests := []struct {
		name    string
		options *replay.MemoryOptions
		entries int
		bytes   int // of each
		want    uint64
	}{
		{"nil options keep 1000 entries", nil, 1500, 0, 501},
		{"zero options keep 1000 entries", &replay.MemoryOptions{}, 1500, 0, 501},
		{"nil options keep 4 MiB", nil, 6, 1<<20 - 128, 3},
		{"entries are bounded", &replay.MemoryOptions{MaxEntries: 3}, 10, 0, 8},
		{"entries are not bounded", &replay.MemoryOptions{MaxEntries: -1}, 5000, 0, 1},
		{"bytes are bounded", &replay.MemoryOptions{MaxBytes: 3000}, 10, 1000 - 128, 8},
		{"one byte too many", &replay.MemoryOptions{MaxBytes: 2999}, 10, 1000 - 128, 9},
		{"bytes are not bounded", &replay.MemoryOptions{MaxBytes: -1}, 6, 1 << 20, 1},
		{"no bound but the default one of bytes", &replay.MemoryOptions{MaxEntries: -1}, 50, 1<<17 - 128, 19},
		{"age has no bound", &replay.MemoryOptions{MaxAge: -1}, 10, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMemory(t, test.options)
			data := make([]byte, test.bytes)
			var head, oldest uint64
			for range test.entries {
				head, oldest = put(t, m, "id", head, replay.Entry{Data: data})
			}
			if oldest != test.want {
				t.Errorf("Append returned oldest %d; want %d", oldest, test.want)
			}
			wantOldest(t, m, "id", head, test.want)
		})
	}
}

func TestMemoryCopiesItsOptions(t *testing.T) {
	options := &replay.MemoryOptions{MaxEntries: 2}
	m := newMemory(t, options)
	options.MaxEntries = 100
	var head uint64
	for range 5 {
		head, _ = put(t, m, "id", head, replay.Entry{})
	}
	wantOldest(t, m, "id", head, 4)
}

func TestAnEntryLargerThanAllThatIsKeptCostsNothingButItself(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxBytes: 1000})
	var head uint64
	for range 3 {
		head, _ = put(t, m, "id", head, replay.Entry{Key: fmt.Sprint("key ", head)})
	}
	wantOldest(t, m, "id", head, 1)

	state := []byte(strings.Repeat("s", 2000))
	head, oldest := put(t, m, "id", head, replay.Entry{Key: "large", State: state})
	if oldest != 5 {
		t.Errorf("Append returned oldest %d; want 5, which is none", oldest)
	}
	wantOldest(t, m, "id", head, 5)
	if loaded, err := m.Load(t.Context(), "id"); err != nil || string(loaded.State) != string(state) {
		t.Errorf("Load: state of %d bytes, error %v; want the one of the large entry", len(loaded.State), err)
	}
	if found, err := m.Find(t.Context(), "id", []string{"large", "key 0", "key 2"}); err != nil || len(found) != 0 {
		t.Errorf("Find: %d entries, error %v; want none", len(found), err)
	}

	head, _ = put(t, m, "id", head, replay.Entry{Key: "small"})
	wantOldest(t, m, "id", head, 5)
}

func TestKeyDataAndStateCountTowardsMaxBytes(t *testing.T) {
	for name, entry := range map[string]replay.Entry{
		"key":   {Key: strings.Repeat("k", 400)},
		"data":  {Data: make([]byte, 400)},
		"state": {State: []byte(strings.Repeat("s", 400))},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t, &replay.MemoryOptions{MaxBytes: 2 * (400 + 128)})
			var head uint64
			for range 5 {
				head, _ = put(t, m, "id", head, entry)
			}
			wantOldest(t, m, "id", head, 4)
		})
	}
}

func TestAgeIsSeenByWhicheverMethodComesFirst(t *testing.T) {
	methods := map[string]func(t *testing.T, m *replay.Memory) (oldest uint64){
		"Load": func(t *testing.T, m *replay.Memory) uint64 {
			head, err := m.Load(t.Context(), "id")
			if err != nil {
				t.Fatal(err)
			}
			return head.Oldest
		},
		"Read": func(t *testing.T, m *replay.Memory) uint64 {
			_, err := m.Read(t.Context(), "id", at(0), 1)
			refusal, ok := errors.AsType[*replay.CursorError](err)
			if !ok {
				return 1
			}
			return refusal.Oldest
		},
		"Find": func(t *testing.T, m *replay.Memory) uint64 {
			found, err := m.Find(t.Context(), "id", []string{"key 1", "key 2", "key 3"})
			if err != nil {
				t.Fatal(err)
			}
			return 4 - uint64(len(found))
		},
		"a refused Append": func(t *testing.T, m *replay.Memory) uint64 {
			err := m.Append(t.Context(), "id", replay.Batch{Expect: at(1), Entries: []replay.Entry{{Cursor: at(2)}}})
			conflict, ok := errors.AsType[*replay.ConflictError](err)
			if !ok {
				t.Fatalf("Append: error %v; want a ConflictError", err)
			}
			if conflict.Missed == nil {
				return 3 // or more: the second is gone
			}
			return 2
		},
	}
	for name, oldest := range methods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(t, &replay.MemoryOptions{MaxAge: time.Minute})
				put(t, m, "id", 0, replay.Entry{Key: "key 1"})
				time.Sleep(20 * time.Second)
				put(t, m, "id", 1, replay.Entry{Key: "key 2"})
				time.Sleep(20 * time.Second)
				put(t, m, "id", 2, replay.Entry{Key: "key 3"})
				time.Sleep(40 * time.Second) // the second is a minute old
				if got := oldest(t, m); got != 2 {
					t.Errorf("after a minute oldest is %d; want 2", got)
				}
				time.Sleep(time.Nanosecond)
				if got := oldest(t, m); got != 3 {
					t.Errorf("after a minute and a nanosecond oldest is %d; want 3", got)
				}
			})
		})
	}
}

func TestEntriesThatAreTooOldAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, &replay.MemoryOptions{MaxAge: time.Hour})
		head, _ := put(t, m, "id", 0, replay.Entry{State: []byte("state"), Key: "key"})
		head, _ = put(t, m, "id", head, replay.Entry{})
		time.Sleep(30 * time.Minute)
		head, _ = put(t, m, "id", head, replay.Entry{})
		wantOldest(t, m, "id", head, 1)
		time.Sleep(30 * time.Minute)
		wantOldest(t, m, "id", head, 1)
		time.Sleep(time.Millisecond)
		wantOldest(t, m, "id", head, 3)

		head, oldest := put(t, m, "id", head, replay.Entry{})
		if oldest != 3 {
			t.Errorf("Append returned oldest %d; want 3", oldest)
		}
		time.Sleep(2 * time.Hour)
		wantOldest(t, m, "id", head, 5)
		if loaded, err := m.Load(t.Context(), "id"); err != nil || string(loaded.State) != "state" {
			t.Errorf("Load: state %q, error %v; want it to outlive its entry", loaded.State, err)
		}
		head, oldest = put(t, m, "id", head, replay.Entry{})
		if oldest != 5 {
			t.Errorf("Append returned oldest %d; want 5", oldest)
		}
		wantOldest(t, m, "id", head, 5)

		time.Sleep(2 * time.Hour) // and Append is the first to see it
		head, oldest = put(t, m, "id", head, replay.Entry{})
		if oldest != 6 {
			t.Errorf("Append returned oldest %d; want 6", oldest)
		}
		wantOldest(t, m, "id", head, 6)
	})
}

func TestMissedIsBounded(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 1500})
	var head uint64
	for range 2000 {
		head, _ = put(t, m, "id", head, replay.Entry{})
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

// end removes the history that it starts in the epoch.
func end(t testing.TB, m *replay.Memory, id string, epoch uint64) error {
	t.Helper()
	err := m.Append(t.Context(), id, replay.Batch{
		Entries: []replay.Entry{{Cursor: replay.Cursor{Epoch: epoch, Revision: 1}}},
		Remove:  true,
	})
	return err
}

func TestEpochsOfLongForgottenHistoriesAreStillRefused(t *testing.T) {
	const many = 30_000
	m := newMemory(t, nil)
	for i := range uint64(many) {
		if err := end(t, m, fmt.Sprint(i), 1+i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(many) {
		id := fmt.Sprint(i)
		err := end(t, m, id, 1+i)
		conflict, ok := errors.AsType[*replay.ConflictError](err)
		if !ok || conflict.Reason != replay.ConflictRemoved || conflict.Head.Epoch < 1+i {
			t.Fatalf("%q goes back to its epoch %d: error %v; want a ConflictError of that or a later epoch", id, 1+i, err)
		}
		if err := end(t, m, id, conflict.Head.Epoch+1); err != nil {
			t.Fatalf("%q starts in the epoch after the one it was refused for: %v", id, err)
		}
	}
	// An id that never was is refused an epoch as early, and told a later one.
	err := end(t, m, "new", 1)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok || conflict.Reason != replay.ConflictRemoved {
		t.Fatalf("a new id in epoch 1: error %v; want a ConflictError", err)
	}
	if err := end(t, m, "new", replay.NewEpoch(conflict.Head.Epoch)); err != nil {
		t.Errorf("a new id in a new epoch: %v", err)
	}
}

func TestOtherHistoriesDoNotHoldUpAnEpoch(t *testing.T) {
	m := newMemory(t, nil)
	for i := range 50 {
		if err := end(t, m, fmt.Sprint(i), 1<<60); err != nil {
			t.Fatal(err)
		}
	}
	if err := end(t, m, "other", 1); err != nil {
		t.Errorf("an id starts in an epoch before those of some removed ones: %v", err)
	}
}

func TestMemoryHoldsOnToNothingThatItNeedNotKeep(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxEntries: 2})
	var data, states, metas []weak.Pointer[byte]
	fresh := func(to *[]weak.Pointer[byte]) []byte {
		bytes := make([]byte, 64)
		*to = append(*to, weak.Make(&bytes[0]))
		return bytes
	}
	for i := range uint64(8) {
		batch := replay.Batch{
			Expect:  at(i),
			Entries: []replay.Entry{{Cursor: at(i + 1), Data: fresh(&data), State: fresh(&states)}},
			Meta:    fresh(&metas),
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
	held("states", states, 2)
	held("metas", metas, 1)

	last := replay.Batch{Expect: at(8), Entries: []replay.Entry{{Cursor: at(9)}}, Remove: true}
	if err := m.Append(t.Context(), "id", last); err != nil {
		t.Fatal(err)
	}
	held("data of a removed history", data, 0)
	held("states of a removed history", states, 0)
	held("metas of a removed history", metas, 0)

	put(t, m, "closed", 0, replay.Entry{Data: fresh(&data), State: fresh(&states)})
	held("data", data, 1)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	held("data of a closed store", data, 0)
	held("states of a closed store", states, 0)
	runtime.KeepAlive(m)
}

func TestIDsEndWithTheContext(t *testing.T) {
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
