package redis

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/safe-go/safe/replay"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(&logging.VoidLogger{}) // the tests break connections all the time
	goleak.VerifyTestMain(m,
		// The client ends these by itself, up to a second after it was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9.(*clusterStateHolder).LazyReload.func1"),
	)
}

// patience bounds how long a test waits for something that must happen.
const patience = 30 * time.Second

// firstEpoch is more than a float64 can represent exactly.
const firstEpoch uint64 = 1_900_000_000_000<<20 + 1

// at is a position in the first epoch.
func at(revision uint64) replay.Cursor { return replay.Cursor{Epoch: firstEpoch, Revision: revision} }

// start is the first batch of an epoch, with a snapshot.
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
	if batch.Starts() {
		return withSnapshot(batch)
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

// withSnapshot gives the batch a snapshot, so that retention may remove what was before
// and all of the batch but the newest entry.
func withSnapshot(batch replay.Batch) replay.Batch {
	batch.Snapshot = []byte("the state at " + batch.Last().String())
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

// recorder records what a follower is notified of.
type recorder struct {
	stop func()

	mu      sync.Mutex
	nils    int
	batches [][]replay.Entry
}

func record(t testing.TB, s *Store, id string) *recorder {
	t.Helper()
	r := &recorder{}
	r.stop = s.Follow(id, r.notify)
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) notify(entries []replay.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entries == nil {
		r.nils++
	} else {
		r.batches = append(r.batches, entries)
	}
}

// nilCount returns how often it was notified with nil.
func (r *recorder) nilCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nils
}

// received reports whether it was notified of a batch that ends there.
func (r *recorder) received(last replay.Cursor) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.batches, func(batch []replay.Entry) bool {
		return batch[len(batch)-1].Cursor == last
	})
}

// awaitStart waits until notifications arrive.
func (r *recorder) awaitStart(t testing.TB) {
	t.Helper()
	eventually(t, "notifications to start", func() bool { return r.nilCount() > 0 })
}

// nilAfter does something and waits until it is notified with nil.
func (r *recorder) nilAfter(t testing.TB, what string, do func()) {
	t.Helper()
	before := r.nilCount()
	do()
	eventually(t, "nil after "+what, func() bool { return r.nilCount() > before })
}

// learnsOf appends a batch, of which it must be notified, if only with nil.
func (r *recorder) learnsOf(t testing.TB, s *Store, id string, batch replay.Batch) {
	t.Helper()
	before := r.nilCount()
	put(t, s, id, batch)
	eventually(t, "a notification of an append", func() bool { return r.received(batch.Last()) || r.nilCount() > before })
}

// loadError returns the error of Load.
func loadError(t testing.TB, s *Store, id string) error {
	t.Helper()
	_, err := s.Load(t.Context(), id, replay.Cursor{})
	return err
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
// reply: many of them together take less than one that waits for anything.
func failsFast(t testing.TB, s *Store, id string) {
	t.Helper()
	begun := time.Now()
	const calls = 200
	for i := range calls {
		err := s.Append(t.Context(), id, start(firstEpoch, fmt.Sprint(i)))
		if !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Append: %v; want ErrUnavailable", err)
		}
		if _, err := s.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, replay.ErrUnavailable) {
			t.Fatalf("Load: %v; want ErrUnavailable", err)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("%d calls of an unreachable server took %v; each must fail at once", 2*calls, took)
	}
}
