package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
)

// event is a write to the file, or the answer to a batch.
type event struct {
	// size is that of the file when it was written to.
	size int64
	off  int64
	data []byte
	meta bool
	// id is that of the answered batch, and batch its number.
	id    string
	batch int
}

// recording is what happened to a file, in order.
type recording struct {
	initial []byte

	mu     sync.Mutex
	events []event
}

// record records all that is written to the file of a store.
func record(t *testing.T, s *Store) *recording {
	t.Helper()
	initial, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{initial: initial}
	hook(s, func(write writeAt, b []byte, off int64) (int, error) {
		info, err := s.database.file.Stat()
		if err != nil {
			return 0, err
		}
		r.add(event{size: info.Size(), off: off, data: bytes.Clone(b), meta: isMeta(s, off)})
		return write(b, off)
	})
	return r
}

func (r *recording) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// sector is what a disk writes whole.
const sector = 512

// cut is the file after a power cut before the n-th event. What was written
// before the last sync is there. Of what was written since, any sectors are, and
// of a meta page any part.
//
// bbolt syncs before and after it writes a meta page.
func (r *recording) cut(n int, random *rand.Rand) []byte {
	file := bytes.Clone(r.initial)
	for i, e := range r.events[:n] {
		if e.data == nil {
			continue
		}
		if int64(len(file)) < e.size {
			file = append(file, make([]byte, e.size-int64(len(file)))...)
		}
		if r.synced(i, n) {
			copy(file[e.off:], e.data)
			continue
		}
		if e.meta && random.IntN(2) == 0 {
			copy(file[e.off:], e.data[:random.IntN(200)])
			continue
		}
		wholly := random.IntN(3)
		for at := 0; at < len(e.data); at += sector {
			if wholly == 0 || wholly == 1 && random.IntN(2) == 0 {
				copy(file[e.off+int64(at):], e.data[at:min(at+sector, len(e.data))])
			}
		}
	}
	return file
}

// synced says whether the i-th event was synced before the n-th.
func (r *recording) synced(i, n int) bool {
	if r.events[i].meta {
		return i+1 < n
	}
	for _, e := range r.events[i:n] {
		if e.meta {
			return true
		}
	}
	return false
}

// answered is how many batches of each id were answered before the n-th event.
func (r *recording) answered(n int) map[string]int {
	answered := make(map[string]int)
	for _, e := range r.events[:n] {
		if e.data == nil {
			answered[e.id] = e.batch
		}
	}
	return answered
}

// crashWriter appends random batches to an id, and notes the history after each.
type crashWriter struct {
	id       string
	random   *rand.Rand
	versions []*modelHistory // nil where there is no history
	batches  []replay.Batch
}

// write appends batches, each when the one before was answered.
func (w *crashWriter) write(t *testing.T, s *Store, batches int, answered func(batch int)) error {
	k, epoch := model{}, uint64(100)
	w.versions, w.batches = []*modelHistory{nil}, []replay.Batch{{}}
	for i := range batches {
		one := model{"id": k[w.id]}
		if one["id"] == nil {
			delete(one, "id")
		}
		batch := one.randomBatchFor("id", w.random, &epoch)
		w.batches = append(w.batches, batch)
		if err := s.Append(t.Context(), w.id, batch); err != nil {
			return fmt.Errorf("append %d to %q: %w", i, w.id, err)
		}
		answered(i + 1)
		k.add(w.id, batch)
		w.versions = append(w.versions, k[w.id].clone())
	}
	return nil
}

func TestPowerCut(t *testing.T) {
	const writers, batches, cuts = 8, 20, 150
	seed := testSeed(t)
	s := open(t, newPath(t), nil)
	r := record(t, s)
	all := make([]*crashWriter, writers)
	var work sync.WaitGroup
	for i := range all {
		w := &crashWriter{id: fmt.Sprint("id ", i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
		all[i] = w
		work.Go(func() {
			err := w.write(t, s, batches, func(batch int) { r.add(event{id: w.id, batch: batch}) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		return
	}

	random := rand.New(rand.NewPCG(seed, 1<<32))
	path, kinds := newPath(t), map[string]int{}
	for range cuts {
		n := r.place(random)
		kinds[r.kind(n)]++
		if err := os.WriteFile(path, r.cut(n, random), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := survived(t, path, all, r.answered(n), random.IntN(writers)); err != nil {
			t.Fatalf("cut before event %d of %d, %s: %v", n, len(r.events), r.kind(n), err)
		}
	}
	t.Logf("%d events; cuts: %v", len(r.events), kinds)
	for _, kind := range []string{"writing data", "writing a meta page", "answering"} {
		if kinds[kind] < 10 {
			t.Errorf("only %d cuts while %s", kinds[kind], kind)
		}
	}
}

// place draws where to cut. A third is just behind a meta page, which otherwise
// is a rare place.
func (r *recording) place(random *rand.Rand) int {
	n := 1 + random.IntN(len(r.events))
	if random.IntN(3) == 0 {
		for n < len(r.events) && !r.events[n-1].meta {
			n++
		}
	}
	return n
}

// kind is what was going on at a cut.
func (r *recording) kind(n int) string {
	switch last := r.events[n-1]; {
	case last.data == nil:
		return "answering"
	case last.meta:
		return "writing a meta page"
	}
	return "writing data"
}

// survived opens a file and compares each history with what it was after the
// last answer, or with what it would have been after the next. One history is continued.
func survived(t *testing.T, path string, all []*crashWriter, answered map[string]int, on int) error {
	damage := Check(path)
	s, err := OpenUnsynced(path, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if damage != nil && s.rolledBack == 0 {
		return damage
	}
	for i, w := range all {
		n := answered[w.id]
		err := sameHistory(t, s, w.id, w.versions[n])
		if err != nil && n+1 < len(w.versions) {
			if next := sameHistory(t, s, w.id, w.versions[n+1]); next != nil {
				return fmt.Errorf("%q after %d answers: %w; and: %w", w.id, n, err, next)
			}
			n, err = n+1, nil
		}
		if err != nil {
			return fmt.Errorf("%q after %d answers: %w", w.id, n, err)
		}
		same := n+1 < len(w.versions) && w.versions[n] == nil && w.versions[n+1] == nil // started and removed at once
		if s.rolledBack > 0 {                                                           // a meta page was partly written
			if err := mustBeRolledBack(t, s, w.id); err != nil {
				return fmt.Errorf("%q: %w", w.id, err)
			}
			continue
		}
		if i == on && n+1 < len(w.batches) && !same {
			if err := s.Append(t.Context(), w.id, w.batches[n+1]); err != nil {
				return fmt.Errorf("%q cannot continue after %d batches: %w", w.id, n, err)
			}
		}
	}
	return nil
}

func sameHistory(t *testing.T, s *Store, id string, want *modelHistory) error {
	if want != nil {
		return want.verify(t, s, id)
	}
	if head, err := s.Load(t.Context(), id, replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
		return fmt.Errorf("%w: head %s, %v; want ErrNotFound", errWrong, head.Cursor, err)
	}
	return nil
}
