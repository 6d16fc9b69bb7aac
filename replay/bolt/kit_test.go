package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/safe-go/safe/replay"
)

// OpenUnsynced opens a store whose commits do not wait for the disk. Tests that cut the
// power derive what is on the disk from the order of writes.
func OpenUnsynced(path string, options *Options) (*Store, error) {
	s, err := Open(path, options)
	if err == nil {
		s.database.bolt.NoSync = true
	}
	return s, err
}

// open opens such a store, which is closed when the test ends.
func open(t testing.TB, path string, options *Options) *Store {
	t.Helper()
	s, err := OpenUnsynced(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// newPath is where a file may be created.
func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "histories.db") }

func randomBytes(random *rand.Rand, most int) []byte {
	b := make([]byte, random.IntN(most))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// fill appends random batches.
func (k model) fill(t testing.TB, s *Store, random *rand.Rand, epoch *uint64, batches int) {
	t.Helper()
	for range batches {
		id, batch := k.randomBatch(random, epoch)
		if err := s.Append(t.Context(), id, batch); err != nil {
			t.Fatalf("Append to %q at %s: %v", id, batch.Expect, err)
		}
		k.add(id, batch)
	}
}

func entryOf(data string) replay.Entry { return replay.Entry{Data: []byte(data)} }

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// seedVariable repeats the random choices of a test that prints its seed.
const seedVariable = "SAFE_SEED"

func testSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d repeats the choices of this test", seedVariable, seed)
	return seed
}

// writeAt is how bbolt writes.
type writeAt func(b []byte, off int64) (int, error)

// hook has bbolt write through a function, which is given the true one.
// Nothing may be written meanwhile.
func hook(s *Store, do func(write writeAt, b []byte, off int64) (int, error)) {
	field := reflect.ValueOf(s.database.bolt).Elem().FieldByName("ops").FieldByName("writeAt")
	place := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	write := *place
	*place = func(b []byte, off int64) (int, error) { return do(write, b, off) }
}

// isMeta says whether what is written at the offset is a meta page.
func isMeta(s *Store, off int64) bool { return off < s.database.metasBytes }

// failures makes writes fail as long as it has an error.
type failures struct {
	err atomic.Pointer[error]
}

func (f *failures) set(err error) { f.err.Store(&err) }

func (f *failures) now() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// failData makes the writing of data fail, before anything is written.
func failData(s *Store) *failures {
	f := &failures{}
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		if err := f.now(); err != nil {
			return 0, err
		}
		return write(b, off)
	})
	return f
}

// failMeta makes the writing of a meta page fail after it was written, as a
// failed sync does.
func failMeta(s *Store) *failures {
	f := &failures{}
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		n, err := write(b, off)
		if failure := f.now(); failure != nil && isMeta(s, off) {
			return n, failure
		}
		return n, err
	})
	return f
}

// faultyDisk is a disk whose writes and syncs can fail.
type faultyDisk struct {
	disk
	failures
}

func (d *faultyDisk) WriteAt(b []byte, off int64) (int, error) {
	if err := d.now(); err != nil {
		return 0, err
	}
	return d.disk.WriteAt(b, off)
}

func (d *faultyDisk) Sync() error { return errors.Join(d.now(), d.disk.Sync()) }

// held is a store in which nothing is committed until it is released.
func held(s *Store) (release func()) {
	s.writing.Lock()
	return sync.OnceFunc(s.writing.Unlock)
}

// await polls until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// awaitWaiting waits until so many batches wait for their turn.
func awaitWaiting(t testing.TB, s *Store, n int) {
	t.Helper()
	await(t, fmt.Sprint(n, " waiting batches"), func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return len(s.queue.waiting) == n
	})
}

// mustAppend appends a batch and notes it.
func mustAppend(t testing.TB, s *Store, k model, id string, batch replay.Batch) {
	t.Helper()
	if err := s.Append(t.Context(), id, batch); err != nil {
		t.Fatalf("Append to %q at %s: %v", id, batch.Expect, err)
	}
	k.add(id, batch)
}

func mustHold(t testing.TB, s *Store, k model) {
	t.Helper()
	if err := k.verify(t, s); err != nil {
		t.Error(err)
	}
}

// count is how many keys a bucket has.
func count(t testing.TB, s *Store, b *bucket) (n int) {
	t.Helper()
	err := s.view(t.Context(), func(r *reader) error {
		return r.scan(b, append(b.firstKey(), 0), func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
