package redis

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
	"github.com/safe-go/safe/replay"
)

// The connection is cut after the server committed, for each kind of batch.
func TestAppend_ReplyLost(t *testing.T) {
	server := redistest.Start(t, nil)
	p := newProxy(t, server.Addr())
	for _, retries := range []int{-1, 3} { // those of the client
		s := open(t, p.client(t, func(o *goredis.Options) { o.MaxRetries = retries }), nil)
		t.Run(fmt.Sprint("MaxRetries ", retries), func(t *testing.T) {
			id := fmt.Sprint("id ", retries)
			lost := func(batch replay.Batch) replay.Cursor {
				t.Helper()
				p.loseReplies(1, "evalsha")
				head := put(t, s, id, batch)
				if p.left() != 0 {
					t.Fatal("no reply was lost")
				}
				return head
			}
			works(t, s) // so that the first call that is cut is an append
			head := lost(start(firstEpoch, "a", "b"))
			head = lost(next(head, "c"))
			batch := keyed(next(head, "d"), "key")
			batch.NewKeys = true
			head = lost(batch)
			if got := datas(t, s, id, firstEpoch); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Fatalf("the history holds %q", got)
			}
			head = lost(numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, "over", "and over"))
			if got := datas(t, s, id, firstEpoch+1); !slices.Equal(got, []string{"over", "and over"}) {
				t.Fatalf("the history holds %q after it was restarted", got)
			}
			head = lost(removing(next(head, "the end")))
			conflict := conflictOf(t, s.Append(t.Context(), id, start(firstEpoch, "lost")))
			if conflict.Reason != replay.ConflictRemoved || conflict.Head != head {
				t.Errorf("the head is %s, removed %t; want %s, true", conflict.Head, conflict.Reason == replay.ConflictRemoved, head)
			}
			lost(removing(start(firstEpoch+2, "at once")))
			if _, err := s.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
				t.Errorf("Load: %v; want ErrNotFound", err)
			}
		})
	}
}

// sent sends an append with a token of the test's, and returns the code of the reply.
func sent(t testing.TB, s *Store, id string, batch replay.Batch, token string) (code string) {
	t.Helper()
	k := s.naming.keys(id)
	return replied(t, s, &call{script: appendScript, keys: &k, args: s.appendArguments(&k, &batch, token)})
}

// replied returns the code of the reply to a call.
func replied(t testing.TB, s *Store, c *call) (code string) {
	t.Helper()
	result, err := s.eval(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return codeOf(result)
}

// A batch is sent again after others were committed.
func TestAppend_Recognised(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	first := start(firstEpoch, "a", "b")
	again := func(batch replay.Batch, token, want string) {
		t.Helper()
		if code := sent(t, s, "id", batch, token); code != want {
			t.Errorf("the batch at %s gets the reply %s; want %s", batch.Last(), code, want)
		}
	}
	again(first, "1", codeCommitted)
	again(first, "1", codeCommitted)
	again(first, "2", codeMoved) // of another sender
	head := put(t, s, "id", next(first.Last(), "c", "d"))
	again(first, "1", codeCommitted)
	again(first, "2", codeMoved)
	again(start(firstEpoch, "a"), "1", codeMoved) // the token is on the last entry
	over := numbered(head, replay.Cursor{Epoch: firstEpoch + 1}, "e")
	again(over, "3", codeCommitted)
	again(first, "1", codeCommitted)
	again(over, "3", codeCommitted)
	again(over, "1", codeMoved)
	if got := datas(t, s, "id", firstEpoch+1); !slices.Equal(got, []string{"e"}) {
		t.Errorf("the history holds %q", got)
	}

	end := removing(next(over.Last(), "f"))
	again(end, "4", codeCommitted)
	again(end, "4", codeCommitted)
	again(end, "5", codeMoved)
	fresh := start(firstEpoch+2, "g")
	again(fresh, "6", codeCommitted)
	again(end, "4", codeCommitted)
	again(end, "5", codeMoved)
	put(t, s, "id", removing(next(fresh.Last(), "h")))
	again(end, "4", codeMoved)
}

// A caller that repeats Append gets another token, so the second is not recognised.
func TestAppend_SameBatchTwice(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	batch := start(firstEpoch, "a")
	put(t, s, "id", batch)
	conflict := conflictOf(t, s.Append(t.Context(), "id", batch))
	if conflict.Head != batch.Last() {
		t.Errorf("the head is %s; want %s", conflict.Head, batch.Last())
	}
}

func TestAppend_LargeBatch(t *testing.T) {
	server := redistest.Start(t, &redistest.Options{Fsync: "off"})
	s := open(t, server.Client(), &Options{Timeout: -1})
	for _, test := range []struct{ entries, size int }{{512, 64 << 10}, {20, 1 << 20}, {20_000, 10}} {
		id := fmt.Sprint(test)
		batch := start(firstEpoch, make([]string, test.entries)...)
		for i := range batch.Entries {
			content := bytes.Repeat([]byte{byte(i)}, test.size)
			batch.Entries[i].Data = content
			batch.Entries[i].Key = fmt.Sprint("key ", i)
		}
		batch.Snapshot = bytes.Repeat([]byte("s"), test.entries*test.size)
		head := put(t, s, id, batch)
		loaded, err := s.Load(t.Context(), id, replay.Cursor{})
		if err != nil || !bytes.Equal(loaded.Snapshot, batch.Snapshot) || loaded.SnapshotRevision != head.Revision {
			t.Fatalf("%v: a snapshot of %d bytes at %d is loaded, %v", test, len(loaded.Snapshot), loaded.SnapshotRevision, err)
		}
		entries, err := s.Read(t.Context(), id, at(0), test.entries+1)
		if err != nil || len(entries) != test.entries {
			t.Fatalf("%v: %d entries are read, %v", test, len(entries), err)
		}
		var keys []string
		for i, entry := range entries {
			want := batch.Entries[i]
			if entry.Cursor != want.Cursor || !bytes.Equal(entry.Data, want.Data) || entry.Key != want.Key {
				t.Fatalf("%v: entry %d is another one", test, i)
			}
			keys = append(keys, entry.Key)
		}
		found, err := s.Find(t.Context(), id, append(keys, keys...))
		if err != nil || len(found) != test.entries {
			t.Fatalf("%v: %d entries are found, %v", test, len(found), err)
		}
		// More are known than one reply has room for.
		again := next(head, make([]string, test.entries)...)
		again.NewKeys = true
		conflict := conflictOf(t, s.Append(t.Context(), id, keyed(again, keys...)))
		if len(conflict.Known) != test.entries {
			t.Fatalf("%v: %d are known", test, len(conflict.Known))
		}
	}
}

func TestAppend_BatchTooLarge(t *testing.T) {
	s := open(t, redistest.Start(t, nil).Client(), nil)
	large := start(firstEpoch, "a", "b")
	large.Entries[0].Data = make([]byte, maxBatchBytes/2)
	large.Snapshot = make([]byte, maxBatchBytes/2+1)
	for name, batch := range map[string]replay.Batch{
		"entries": start(firstEpoch, make([]string, maxBatchEntries+1)...),
		"bytes":   large,
	} {
		if err := s.Append(t.Context(), "id", batch); !errors.Is(err, replay.ErrInvalidBatch) {
			t.Errorf("a batch of too many %s: %v; want ErrInvalidBatch", name, err)
		}
	}
	if _, err := s.Load(t.Context(), "id", replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("Load: %v; want ErrNotFound", err)
	}
}

// What an append takes does not depend on the size of the snapshot that stays.
func TestAppend_LargeSnapshotStays(t *testing.T) {
	client := redistest.Start(t, &redistest.Options{Fsync: "no"}).Client()
	s := open(t, client, &Options{Timeout: -1, MaxEntries: 1})
	var took [2]float64 // microseconds of the server
	for i, size := range []int{128, 8 << 20} {
		id := fmt.Sprint(size)
		batch := start(firstEpoch, "a")
		batch.Snapshot = bytes.Repeat([]byte("s"), size)
		head := put(t, s, id, batch)
		if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			head = put(t, s, id, next(head, "b"))
			if loaded, err := s.Load(t.Context(), id, head); err != nil || loaded.Snapshot != nil || loaded.SnapshotRevision != 1 {
				t.Fatalf("Load of one who has the state: %d bytes at revision %d, %v", len(loaded.Snapshot), loaded.SnapshotRevision, err)
			}
		}
		info, err := client.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, stat, _ := strings.Cut(info, "cmdstat_evalsha:")
		if _, err := fmt.Sscanf(stat, "calls=400,usec=%f", &took[i]); err != nil {
			t.Fatalf("%v: %s", err, info)
		}
	}
	if took[1] > 5*took[0] {
		t.Errorf("with a large snapshot the server takes %v us, with a small one %v us", took[1], took[0])
	}
}

func TestAppend_MissedIsBounded(t *testing.T) {
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

// A server forgets scripts when it restarts and on SCRIPT FLUSH.
func TestScripts_SentAgain(t *testing.T) {
	client := redistest.Start(t, nil).Client()
	s := open(t, client, nil)
	calls := []func() error{
		func() error { return s.Append(t.Context(), "id", start(firstEpoch, "a")) },
		func() error { return loadError(t, s, "id") },
		func() error { _, err := s.Read(t.Context(), "id", at(0), 10); return err },
		func() error { _, err := s.Find(t.Context(), "id", []string{"key"}); return err },
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
