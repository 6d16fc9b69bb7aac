package redis

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

func TestLargeBatches(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Fsync: "no"})
	s := open(t, server.Client(), &Options{Timeout: -1})
	for _, test := range []struct{ entries, size int }{{512, 64 << 10}, {20, 1 << 20}, {20_000, 10}} {
		id := fmt.Sprint(test)
		batch := start(firstEpoch, make([]string, test.entries)...)
		for i := range batch.Entries {
			content := bytes.Repeat([]byte{byte(i)}, test.size)
			batch.Entries[i].Data, batch.Entries[i].State = content, content
			batch.Entries[i].Key = fmt.Sprint("key ", i)
		}
		head := put(t, s, id, batch)
		entries, err := s.Read(t.Context(), id, at(0), test.entries+1)
		if err != nil || len(entries) != test.entries {
			t.Fatalf("%v: %d entries are read, %v", test, len(entries), err)
		}
		var keys []string
		for i, entry := range entries {
			want := batch.Entries[i]
			if entry.Cursor != want.Cursor || !bytes.Equal(entry.Data, want.Data) || !bytes.Equal(entry.State, want.State) || entry.Key != want.Key {
				t.Fatalf("%v: entry %d is another one", test, i)
			}
			keys = append(keys, entry.Key)
		}
		found, err := s.Find(t.Context(), id, append(keys, keys...))
		if err != nil || len(found) != test.entries {
			t.Fatalf("%v: %d entries are found, %v", test, len(found), err)
		}
		// More are known than one answer has room for.
		again := next(head, make([]string, test.entries)...)
		again.NewKeys = true
		conflict := conflictOf(t, s.Append(t.Context(), id, keyed(again, keys...)))
		if len(conflict.Known) != test.entries {
			t.Fatalf("%v: %d are known", test, len(conflict.Known))
		}
	}
}

func TestABatchMayBeTooLarge(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	large := start(firstEpoch, "a", "b")
	large.Entries[0].Data = make([]byte, maxBatchBytes/2)
	large.Entries[1].State = make([]byte, maxBatchBytes/2+1)
	for name, batch := range map[string]replay.Batch{
		"entries": start(firstEpoch, make([]string, maxBatchEntries+1)...),
		"bytes":   large,
	} {
		if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrInvalidBatch) {
			t.Errorf("a batch of too many %s: %v; want ErrInvalidBatch", name, err)
		}
	}
	if _, err := s.Load(t.Context(), "id"); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("Load: %v; want ErrNotFound", err)
	}
}

func TestMissedIsBounded(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	head := put(t, s, "id", start(firstEpoch, make([]string, 2000)...))
	missed := func(id string, expect replay.Cursor) int {
		t.Helper()
		conflict := conflictOf(t, s.Append(t.Context(), id, next(expect, "lost")))
		return len(conflict.Missed)
	}
	for expect, want := range map[uint64]int{1999: 1, 1500: 500, 1000: 1000, 999: 0, 1: 0, 2001: 0} {
		if got := missed("id", at(expect)); got != want {
			t.Errorf("expecting %d of %s: %d entries were missed; want %d", expect, head, got, want)
		}
	}
	large := start(firstEpoch, make([]string, 10)...)
	for i := range large.Entries {
		large.Entries[i].Data = make([]byte, 300_000)
	}
	put(t, s, "large", large)
	if got := missed("large", at(8)); got != 2 {
		t.Errorf("%d entries were missed; want 2", got)
	}
	if got := missed("large", at(1)); got != 0 {
		t.Errorf("%d entries were missed; want none, as they are large", got)
	}
}

// A server forgets scripts when it restarts or is told to.
func TestAServerThatForgotTheScriptsIsSentThem(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	calls := []func() error{
		func() error { return s.Append(t.Context(), "id", start(firstEpoch, "a")) },
		func() error { return second(s.Load(t.Context(), "id")) },
		func() error { return second(s.Read(t.Context(), "id", at(0), 10)) },
		func() error { return second(s.Find(t.Context(), "id", []string{"key"})) },
	}
	for i, call := range calls {
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := call(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
