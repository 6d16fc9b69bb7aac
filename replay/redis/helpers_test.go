package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// patience bounds how long a test waits for something that must happen.
const patience = 30 * time.Second

// firstEpoch is more than a float64 can tell apart from its neighbours.
const firstEpoch uint64 = 1_900_000_000_000<<20 + 1

// at is a position in the first epoch.
func at(revision uint64) replay.Cursor { return replay.Cursor{Epoch: firstEpoch, Revision: revision} }

// start is the first batch of an epoch.
func start(epoch uint64, data ...string) replay.Batch {
	return numbered(replay.Cursor{}, replay.Cursor{Epoch: epoch}, data...)
}

// next is a batch that follows a head.
func next(head replay.Cursor, data ...string) replay.Batch { return numbered(head, head, data...) }

func numbered(expect, after replay.Cursor, data ...string) replay.Batch {
	batch := replay.Batch{Expect: expect}
	for _, each := range data {
		after = after.Next()
		batch.Entries = append(batch.Entries, replay.Entry{Cursor: after, Data: []byte(each)})
	}
	return batch
}

// keyed gives the entries keys.
func keyed(batch replay.Batch, keys ...string) replay.Batch {
	for i, key := range keys {
		batch.Entries[i].Key = key
	}
	return batch
}

// removing makes the batch the last of its history.
func removing(batch replay.Batch) replay.Batch {
	batch.Remove = true
	return batch
}

// put appends a batch, which must succeed, and returns the head.
func put(t testing.TB, s *Store, id string, batch replay.Batch) replay.Cursor {
	t.Helper()
	if err := s.Append(t.Context(), id, batch); err != nil {
		t.Fatalf("Append to %q at %s: %v", id, batch.Expect, err)
	}
	return batch.Last()
}

// datas reads the whole epoch of a history.
func datas(t testing.TB, s *Store, id string, epoch uint64) []string {
	t.Helper()
	entries, err := s.Read(t.Context(), id, replay.Cursor{Epoch: epoch}, 1<<30)
	if err != nil {
		t.Fatalf("Read of %q: %v", id, err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, string(entry.Data))
	}
	return all
}

// conflictOf is the conflict that an append must be refused for.
func conflictOf(t testing.TB, err error) *replay.ConflictError {
	t.Helper()
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		t.Fatalf("error %v; want a ConflictError", err)
	}
	return conflict
}

// eventually polls until done.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	late := time.After(patience)
	for !done() {
		select {
		case <-late:
			t.Fatalf("waited %v for %s", patience, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// works waits until the store can be used.
func works(t testing.TB, s *Store) {
	t.Helper()
	eventually(t, "the store to work again", func() bool {
		_, err := s.Find(t.Context(), "whether it works", []string{"key"})
		return err == nil
	})
}

// failsFast checks that calls fail at once because the server is known not to
// answer: many of them together take less than one that waits for anything.
func failsFast(t testing.TB, s *Store, id string) {
	t.Helper()
	begun := time.Now()
	const calls = 200
	for i := range calls {
		err := s.Append(t.Context(), id, start(firstEpoch, fmt.Sprint(i)))
		if !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Append: %v; want ErrUnavailable", err)
		}
		if _, err := s.Load(t.Context(), id); !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Load: %v; want ErrUnavailable", err)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("%d calls of an unreachable server took %v; each must fail at once", 2*calls, took)
	}
}
