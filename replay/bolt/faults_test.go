package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

const (
	faultWriters = 6
	faultBatches = 60
)

// TestRandomFaults writes and reads from several goroutines while writes to the
// disk fail at random, and bbolt panics now and then.
func TestRandomFaults(t *testing.T) {
	seed := testSeed(t)
	path := newPath(t)
	s := open(t, path, nil)
	w := &injector{store: s, random: rand.New(rand.NewPCG(seed, 0)), active: true}
	done := make(chan struct{})
	var work, injecting sync.WaitGroup
	injecting.Go(func() { w.hookAll(done) })
	writers := make([]*faultyWriter, faultWriters)
	for i := range writers {
		writers[i] = &faultyWriter{
			t: t, store: s, id: fmt.Sprint("id ", i), random: rand.New(rand.NewPCG(seed, uint64(i)+1)),
			injector: w, versions: []*modelHistory{nil},
		}
		writing := make(chan struct{})
		work.Go(func() {
			defer close(writing)
			writers[i].run()
		})
		work.Go(func() { watch(t, s, writers[i].id, writing) })
	}
	work.Wait()
	close(done)
	injecting.Wait()
	w.stop()
	if t.Failed() {
		return
	}
	for _, b := range writers {
		b.resolve()
	}
	k, epoch, random := model{}, uint64(1<<50), seeded(seed)
	for range 20 {
		id := fmt.Sprint("after ", epoch%3)
		batch := k.randomBatchFor(id, random, &epoch)
		mustAppend(t, s, k, id, batch)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	s = open(t, path, nil)
	for _, b := range writers {
		b.store = s
		b.resolve()
	}
	for id, history := range k {
		if err := history.verify(t, s, id); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%v faults", w.faults)
	if !w.hadAll() {
		t.Errorf("only these faults happened: %v", w.faults)
	}
}

// injector makes the writes to a file fail.
type injector struct {
	store *Store

	mu     sync.Mutex
	random *rand.Rand
	active bool
	hooked *database
	faults map[string]int
}

// hookAll keeps failing what is written, also when the file was opened again.
func (w *injector) hookAll(done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		w.store.mu.Lock()
		if now := w.store.database; now != nil && now != w.hooked {
			w.hooked = now
			hook(w.store, w.write)
		}
		w.store.mu.Unlock()
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

func (w *injector) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = false
}

// hadAll says whether every kind of fault has happened.
func (w *injector) hadAll() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) == 3
}

// next draws what happens to a write.
func (w *injector) next(meta bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := ""
	switch dice := w.random.IntN(100); {
	case !w.active:
	case meta && dice < 8:
		fault = "a sync fails"
	case !meta && dice < 1:
		fault = "a write fails"
	case !meta && dice < 2 && w.random.IntN(3) == 0:
		fault = "bbolt panics"
	}
	if fault != "" {
		if w.faults == nil {
			w.faults = make(map[string]int)
		}
		w.faults[fault]++
	}
	return fault
}

func (w *injector) write(write writeAt, b []byte, off int64) (int, error) {
	fault := w.next(off < 2*int64(pageBytes))
	switch fault {
	case "a write fails":
		return 0, syscall.ENOSPC
	case "bbolt panics":
		panic("page 7 already freed")
	}
	n, err := write(b, off)
	if fault == "a sync fails" {
		err = syscall.EIO
	}
	return n, err
}

// faultyWriter writes to one id, whatever happens.
type faultyWriter struct {
	t        *testing.T
	store    *Store
	injector *injector
	id       string
	random   *rand.Rand
	epoch    uint64
	// versions are what the history may be, the newest last.
	versions []*modelHistory
}

func (b *faultyWriter) run() {
	b.epoch = 100
	for i := 0; i < faultBatches || i < 100*faultBatches && !b.injector.hadAll(); i++ {
		k := model{}
		if now := b.versions[len(b.versions)-1]; now != nil {
			k[b.id] = now.clone()
		}
		batch := k.randomBatchFor(b.id, b.random, &b.epoch)
		err := b.store.Append(b.t.Context(), b.id, batch)
		k.add(b.id, batch)
		conflict := errors.Is(err, replay.ErrConflict)
		if !conflict {
			b.versions = append(b.versions, k[b.id])
		}
		switch {
		case err == nil:
			b.versions = b.versions[len(b.versions)-1:]
		case errors.Is(err, replay.ErrUnavailable), errors.Is(err, ErrDamaged):
			if !b.resolve() {
				return
			}
		default:
			b.t.Errorf("Append to %q: %v", b.id, err)
			return
		}
	}
}

// resolve finds out which version is the true one.
func (b *faultyWriter) resolve() bool {
	var err error
	for range 100 { // the disk fails now and then
		for i, history := range slices.Backward(b.versions) {
			if err = sameHistory(b.t, b.store, b.id, history); err == nil {
				b.versions = b.versions[:i+1]
				return true
			}
		}
	}
	b.t.Errorf("%q is none of the %d that it can be: %v", b.id, len(b.versions), err)
	return false
}

// watch reads an id and verifies that its head never goes back.
func watch(t *testing.T, s *Store, id string, done <-chan struct{}) {
	var last replay.Cursor
	for {
		select {
		case <-done:
			return
		default:
		}
		head, err := s.Load(t.Context(), id, replay.Cursor{})
		switch {
		case errors.Is(err, replay.ErrNotFound), errors.Is(err, replay.ErrUnavailable):
			continue
		case err != nil:
			t.Errorf("Load of %q: %v", id, err)
			return
		}
		if last.After(head.Cursor) {
			t.Errorf("%q went back from %s to %s", id, last, head.Cursor)
			return
		}
		last = head.Cursor
	}
}
