package replay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/replay"
)

// wantOldest checks what each method says of the oldest entry.
func wantOldest(t *testing.T, m *replay.Memory, id string, head, want uint64) {
	t.Helper()
	// Read comes first: it must trim by age itself.
	if want > 1 {
		if _, err := m.Read(t.Context(), id, at(want-2), 1); !errors.Is(err, replay.ErrCursorTooOld) {
			t.Errorf("Read after revision %d: error %v; want ErrCursorTooOld", want-2, err)
		}
	}
	entries, err := m.Read(t.Context(), id, at(want-1), int(head)+1)
	if err != nil || len(entries) != int(head+1-want) {
		t.Errorf("Read after revision %d: %d entries, error %v; want %d", want-1, len(entries), err, head+1-want)
	}
	loaded, err := m.Load(t.Context(), id, replay.Cursor{})
	if err != nil || loaded.Oldest != want || loaded.Cursor != at(head) {
		t.Errorf("Load: head %s, oldest %d, error %v; want %s, %d", loaded.Cursor, loaded.Oldest, err, at(head), want)
	}
}

func TestMemoryOptions(t *testing.T) {
	refused := map[string]replay.MemoryOptions{
		"MemoryOptions.MaxEntries": {MaxEntries: -2},
		"MemoryOptions.MaxBytes":   {MaxBytes: -100},
		"MemoryOptions.MaxAge":     {MaxAge: -time.Second},
	}
	for name, options := range refused {
		m, err := replay.NewMemory(&options)
		if !errors.Is(err, option.ErrInvalid) || m != nil || !strings.Contains(err.Error(), name) {
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
			var head uint64
			for range test.entries {
				head = put(t, m, "id", head, replay.Entry{Data: data})
			}
			wantOldest(t, m, "id", head, test.want)
		})
	}
}

func TestMemoryOptions_AreCopied(t *testing.T) {
	options := &replay.MemoryOptions{MaxEntries: 2}
	m := newMemory(t, options)
	options.MaxEntries = 100
	var head uint64
	for range 5 {
		head = put(t, m, "id", head, replay.Entry{})
	}
	wantOldest(t, m, "id", head, 4)
}

func TestMaxBytes_LargerEntry(t *testing.T) {
	m := newMemory(t, &replay.MemoryOptions{MaxBytes: 1000})
	var head uint64
	for range 3 {
		head = put(t, m, "id", head, replay.Entry{Key: fmt.Sprint("key ", head)})
	}
	wantOldest(t, m, "id", head, 1)

	head = putSnapshot(t, m, "id", head, replay.Entry{Key: "large", Data: make([]byte, 2000)}, []byte("after the large entry"))
	wantOldest(t, m, "id", head, 5) // no entry is kept
	if loaded, err := m.Load(t.Context(), "id", replay.Cursor{}); err != nil || string(loaded.Snapshot) != "after the large entry" {
		t.Errorf("Load: snapshot %q, error %v; want the one after the large entry", loaded.Snapshot, err)
	}
	if found, err := m.Find(t.Context(), "id", []string{"large", "key 0", "key 2"}); err != nil || len(found) != 0 {
		t.Errorf("Find: %d entries, error %v; want none", len(found), err)
	}

	head = put(t, m, "id", head, replay.Entry{Key: "small"})
	wantOldest(t, m, "id", head, 5)
}

func TestMaxBytes_CountsEveryField(t *testing.T) {
	for name, entry := range map[string]replay.Entry{
		"key":  {Key: strings.Repeat("k", 400)},
		"data": {Data: make([]byte, 400)},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t, &replay.MemoryOptions{MaxBytes: 2 * (400 + 128)})
			var head uint64
			for range 5 {
				head = put(t, m, "id", head, entry)
			}
			wantOldest(t, m, "id", head, 4)
		})
	}
}

// Entries after the newest snapshot count, but are not trimmed.
func TestRetention_AfterSnapshot(t *testing.T) {
	for name, options := range map[string]replay.MemoryOptions{
		"entries": {MaxEntries: 3},
		"bytes":   {MaxBytes: 3 * 128},
		"age":     {MaxAge: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(t, &options)
				var head uint64
				appends := func(n int, snapshot []byte) {
					for range n {
						time.Sleep(time.Second)
						head = putSnapshot(t, m, "id", head, replay.Entry{}, snapshot)
					}
				}
				appends(5, []byte("state"))
				wantOldest(t, m, "id", head, 3)
				appends(2, nil)
				wantOldest(t, m, "id", head, 5)
				appends(4, nil)
				wantOldest(t, m, "id", head, 6)
				appends(1, []byte("state"))
				wantOldest(t, m, "id", head, 10)
			})
		})
	}
}

// Each method trims by age before it does anything else.
func TestMaxAge_InEveryMethod(t *testing.T) {
	methods := map[string]func(t *testing.T, m *replay.Memory) (oldest uint64){
		"Load": func(t *testing.T, m *replay.Memory) uint64 {
			head, err := m.Load(t.Context(), "id", replay.Cursor{})
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
				return 3 // or later: the second was trimmed
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

func TestMaxAge_TrimsEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, &replay.MemoryOptions{MaxAge: time.Hour})
		head := put(t, m, "id", 0, replay.Entry{Key: "key"})
		head = put(t, m, "id", head, replay.Entry{})
		time.Sleep(30 * time.Minute)
		head = put(t, m, "id", head, replay.Entry{})
		wantOldest(t, m, "id", head, 1)
		time.Sleep(30 * time.Minute)
		wantOldest(t, m, "id", head, 1)
		time.Sleep(time.Millisecond)
		wantOldest(t, m, "id", head, 3)

		head = put(t, m, "id", head, replay.Entry{})
		wantOldest(t, m, "id", head, 3)
		time.Sleep(2 * time.Hour)
		wantOldest(t, m, "id", head, 5)
		if loaded, err := m.Load(t.Context(), "id", replay.Cursor{}); err != nil || string(loaded.Snapshot) != "state" {
			t.Errorf("Load: snapshot %q, error %v; want it to outlive its entry", loaded.Snapshot, err)
		}
		head = put(t, m, "id", head, replay.Entry{})
		wantOldest(t, m, "id", head, 5)

		time.Sleep(2 * time.Hour) // Append trims the one before
		head = put(t, m, "id", head, replay.Entry{})
		wantOldest(t, m, "id", head, 6)
	})
}

// known appends an entry with a key that must be new, and returns the entry that
// has it already.
func known(t testing.TB, m *replay.Memory, head uint64, key string) []replay.Entry {
	t.Helper()
	err := m.Append(t.Context(), "id", replay.Batch{
		Expect:  at(head),
		Entries: []replay.Entry{{Cursor: at(head + 1), Key: key}},
		NewKeys: true, Snapshot: []byte("state"),
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

func TestNewKeys_AfterMaxAge(t *testing.T) {
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
