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
	stormWriters = 6
	stormBatches = 60
)

// TestAStormOfFaults has many write and read while the disk fails at random
// places, and bbolt panics now and then.
func TestAStormOfFaults(t *testing.T) {
	seed := testSeed(t)

	path := newPath(t)
	s := open(t, path, nil)
	w := &weather{store: s, random: rand.New(rand.NewPCG(seed, 0)), raging: true}
	over := make(chan struct{})
	var work, blowing sync.WaitGroup
	blowing.Go(func() { w.blow(over) })
	boats := make([]*boat, stormWriters)
	for i := range boats {
		boats[i] = &boat{
			t: t, store: s, id: fmt.Sprint("id ", i), random: rand.New(rand.NewPCG(seed, uint64(i)+1)),
			weather: w, stories: []*story{nil},
		}
		writing := make(chan struct{})
		work.Go(func() {
			defer close(writing)
			boats[i].sail()
		})
		work.Go(func() { watch(t, s, boats[i].id, writing) })
	}
	work.Wait()
	close(over)
	blowing.Wait()
	w.calm()
	if t.Failed() {
		return
	}
	for _, b := range boats {
		b.look()
	}
	k, epoch, random := known{}, uint64(1<<50), seeded(seed)
	for range 20 {
		id := fmt.Sprint("after ", epoch%3)
		batch := k.randomBatchFor(id, random, &epoch)
		mustAppend(t, s, k, id, batch)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s = open(t, path, nil)
	for _, b := range boats {
		b.store = s
		b.look()
	}
	for id, story := range k {
		if err := story.verify(t, s, id); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%v faults", w.faults)
	if !w.hadAll() {
		t.Errorf("the storm had only %v", w.faults)
	}
}

// weather makes the writes to a file fail.
type weather struct {
	store *Store

	mu     sync.Mutex
	random *rand.Rand
	raging bool
	hooked *database
	faults map[string]int
}

// blow keeps failing what is written, also when the file was opened anew.
func (w *weather) blow(over <-chan struct{}) {
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
		case <-over:
			return
		case <-tick.C:
		}
	}
}

func (w *weather) calm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.raging = false
}

// hadAll says whether every kind of fault has happened.
func (w *weather) hadAll() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) == 3
}

// next draws what happens to a write.
func (w *weather) next(meta bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := ""
	switch dice := w.random.IntN(100); {
	case !w.raging:
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

func (w *weather) write(write writeAt, b []byte, off int64) (int, error) {
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

// boat writes to one id, whatever happens.
type boat struct {
	t       *testing.T
	store   *Store
	weather *weather
	id      string
	random  *rand.Rand
	epoch   uint64
	// stories are what the history may be, the newest last.
	stories []*story
}

func (b *boat) sail() {
	b.epoch = 100
	for i := 0; i < stormBatches || i < 100*stormBatches && !b.weather.hadAll(); i++ {
		k := known{}
		if now := b.stories[len(b.stories)-1]; now != nil {
			k[b.id] = now.clone()
		}
		batch := k.randomBatchFor(b.id, b.random, &b.epoch)
		err := b.store.Append(b.t.Context(), b.id, batch)
		k.add(b.id, batch)
		conflict := errors.Is(err, replay.ErrConflict)
		if !conflict {
			b.stories = append(b.stories, k[b.id])
		}
		switch {
		case err == nil:
			b.stories = b.stories[len(b.stories)-1:]
		case errors.Is(err, replay.ErrUnavailable), errors.Is(err, ErrDamaged):
			if !b.look() {
				return
			}
		default:
			b.t.Errorf("Append to %q: %v", b.id, err)
			return
		}
	}
}

// look finds out which story is the true one.
func (b *boat) look() bool {
	var err error
	for range 100 { // the disk fails now and then
		for i, story := range slices.Backward(b.stories) {
			if err = sameStory(b.t, b.store, b.id, story); err == nil {
				b.stories = b.stories[:i+1]
				return true
			}
		}
	}
	b.t.Errorf("%q is none of the %d that it can be: %v", b.id, len(b.stories), err)
	return false
}

// watch reads an id and sees that it never goes back.
func watch(t *testing.T, s *Store, id string, over <-chan struct{}) {
	var last replay.Cursor
	for {
		select {
		case <-over:
			return
		default:
		}
		head, err := s.Load(t.Context(), id)
		switch {
		case errors.Is(err, replay.ErrNotFound), errors.Is(err, replay.ErrUnavailable):
			continue
		case err != nil:
			t.Errorf("Load of %q: %v", id, err)
			return
		}
		if head.Cursor.Epoch < last.Epoch || head.Cursor.Epoch == last.Epoch && head.Cursor.Revision < last.Revision {
			t.Errorf("%q went back from %s to %s", id, last, head.Cursor)
			return
		}
		last = head.Cursor
	}
}
