package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

const (
	// filesVariable is how many files have bytes flipped, if not as many as usual.
	filesVariable = "SAFE_BOLT_FILES"
	usualFiles    = 12
	flipWriters   = 5
)

// TestDamage_FlippedBytes flips bytes of files that were made under load, opens
// them, and uses them under load. No process ends, every call ends, and what is
// returned is right or an error. A fault that the runtime cannot recover from
// ends this test. The seed repeats the choices; the pages of a file also depend
// on how the writers share commits, so a file that fails is kept.
func TestDamage_FlippedBytes(t *testing.T) {
	files := usualFiles
	if text := os.Getenv(filesVariable); text != "" {
		var err error
		if files, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", filesVariable, err)
		}
	}
	seed := testSeed(t)
	outcomes := make(map[string]int)
	for file := range files {
		random := rand.New(rand.NewPCG(seed, uint64(file)))
		done := make(chan string, 1)
		go func() { done <- useFlipped(t, random) }()
		select {
		case outcome := <-done:
			outcomes[outcome]++
		case <-time.After(time.Minute):
			t.Fatalf("file %d: a call does not end", file)
		}
		if t.Failed() {
			t.Fatalf("file %d", file)
		}
	}
	t.Logf("%d files: %v", files, outcomes)
	if outcomes["used"] == 0 {
		t.Error("no file was used")
	}
}

// useFlipped makes a file, flips bytes of it and uses it. It returns what came
// of it.
func useFlipped(t *testing.T, random *rand.Rand) string {
	options := &Options{}
	if random.IntN(2) == 0 {
		options.MaxEntries = 30 + random.IntN(100)
	}
	path := newPath(t)
	writers := make([]*flipWriter, flipWriters)
	for i := range writers {
		writers[i] = &flipWriter{t: t, number: i, k: model{}, random: rand.New(rand.NewPCG(random.Uint64(), 0)), epoch: 100}
	}
	s, err := OpenUnsynced(path, options)
	if err != nil {
		t.Error(err)
		return "error"
	}
	all(writers, func(w *flipWriter) { w.use(s, 20+w.random.IntN(20)) })
	closed := random.IntN(2) == 0
	if closed { // else as kill -9 leaves it
		err = s.Close()
	}
	release := held(s)
	content, errRead := os.ReadFile(path)
	release()
	if !closed {
		err = errors.Join(err, s.Close())
	}
	path = newPath(t)
	flipBytes(content, random)
	if err := errors.Join(err, errRead, os.WriteFile(path, content, 0o600)); err != nil {
		t.Error(err)
		return "error"
	}
	defer func() {
		if t.Failed() {
			keep(t, content)
		}
	}()
	if err := Check(path); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
		t.Errorf("Check: %v", err)
	}
	s, err = OpenUnsynced(path, options)
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Errorf("Open: %v", err)
		}
		return "refused"
	}
	defer s.Close()
	if s.rolledBack > 0 {
		all(writers, func(w *flipWriter) { w.readRolledBack(s) })
		return "rolled back"
	}
	damage := 0
	all(writers, func(w *flipWriter) { w.use(s, 30) })
	for _, w := range writers {
		damage += w.damage
	}
	// What is flipped while the file is in use may be noticed or not, but ends
	// nothing either.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Error(err)
		return "error"
	}
	defer file.Close()
	all(writers, func(w *flipWriter) {
		w.lenient = true
		for range 5 {
			one, at := []byte{byte(w.random.Uint32())}, w.random.Int64N(int64(len(content)))
			if w.number > 0 {
				at = at/int64(pageBytes)*int64(pageBytes) + w.random.Int64N(200)
			}
			if _, err := file.WriteAt(one, at); err != nil {
				t.Error(err)
			}
			w.use(s, 3)
		}
	})
	if damage == 0 {
		return "used, no damage met"
	}
	return "used"
}

func all(writers []*flipWriter, do func(*flipWriter)) {
	var work sync.WaitGroup
	for _, w := range writers {
		work.Go(func() { do(w) })
	}
	work.Wait()
}

// keep keeps a file that made the test fail.
func keep(t *testing.T, content []byte) {
	file, err := os.CreateTemp("", "flipped-*.db")
	if err == nil {
		_, err = file.Write(content)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Error(err)
		return
	}
	t.Logf("the flipped file is kept as %s", file.Name())
}

// flipBytes flips some bytes anywhere, or some in the beginnings of pages, where
// they do the most harm.
func flipBytes(content []byte, random *rand.Rand) {
	headers := random.IntN(2) == 0
	for range 1 + random.IntN(30) {
		at := random.IntN(len(content))
		if headers {
			at = 2*pageBytes + (at%(len(content)-2*pageBytes))/pageBytes*pageBytes + random.IntN(100)
		}
		content[at] ^= byte(1 + random.IntN(255))
	}
}

// flipWriter uses some histories of a file that no other flipWriter uses.
type flipWriter struct {
	t      *testing.T
	number int
	k      model
	random *rand.Rand
	epoch  uint64
	// lost are the ids of which nothing is known any more, because a call failed
	// and the history could not be read afterwards.
	lost map[string]bool
	// damage counts the calls that met damage.
	damage int
	// lenient is set while bytes are flipped.
	lenient bool
}

// use reads and appends so often.
func (w *flipWriter) use(s *Store, times int) {
	if w.lost == nil {
		w.lost = make(map[string]bool)
	}
	for range times {
		id := fmt.Sprintf("writer %d id %d", w.number, w.random.IntN(4))
		if w.random.IntN(20) == 0 {
			w.ids(s)
		}
		if !w.lost[id] {
			w.read(s, id)
			w.append(s, id)
		}
	}
}

// readRolledBack reads what a file that was rolled back has: a history as it was, or
// shorter.
func (w *flipWriter) readRolledBack(s *Store) {
	for id, history := range w.k {
		head, err := s.Load(w.t.Context(), id, replay.Cursor{})
		if err == nil && head.Cursor.Epoch == history.head().Epoch && head.Cursor.Revision > history.head().Revision {
			w.t.Errorf("Load of %q: %s; want %s at most", id, head.Cursor, history.head())
		}
		if err == nil && head.RestartAfter == 0 {
			w.t.Errorf("%q is not rolled back", id)
		}
		w.allow("Load", id, err, replay.ErrNotFound)
	}
}

// allow reports an error that a damaged file does not explain, and whether there
// was none.
func (w *flipWriter) allow(call, id string, err error, also ...error) bool {
	if err == nil {
		return true
	}
	if errors.Is(err, ErrDamaged) {
		w.damage++
		return false
	}
	for _, allowed := range also {
		if errors.Is(err, allowed) {
			return false
		}
	}
	if !w.lenient {
		w.t.Errorf("%s of %q: %v", call, id, err)
	}
	return false
}

func (w *flipWriter) read(s *Store, id string) {
	history := w.k[id]
	head, err := s.Load(w.t.Context(), id, replay.Cursor{})
	if history == nil {
		if !errors.Is(err, replay.ErrNotFound) && w.allow("Load", id, err) && !w.lenient {
			w.t.Errorf("Load of %q, which was removed: %s", id, head.Cursor)
		}
		return
	}
	if w.allow("Load", id, err) && !w.lenient && history.sameHead(head, head.Oldest) != nil {
		w.t.Errorf("Load of %q: %v", id, history.sameHead(head, head.Oldest))
	}
	if err != nil {
		return
	}
	entries, err := s.Read(w.t.Context(), id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.Oldest - 1}, 1<<30)
	if w.allow("Read", id, err) && !w.lenient {
		if err := sameEntries(entries, history.entries()[head.Oldest-1:]); err != nil {
			w.t.Errorf("Read of %q: %v", id, err)
		}
	}
	for _, e := range history.entries()[max(head.Oldest, head.Cursor.Revision-min(2, head.Cursor.Revision-1))-1:] {
		if e.Key == "" {
			continue
		}
		found, err := s.Find(w.t.Context(), id, []string{e.Key})
		if w.allow("Find", id, err) && !w.lenient && (len(found) != 1 || found[0].Key != e.Key || found[0].Cursor.Revision < e.Cursor.Revision) {
			w.t.Errorf("Find in %q of the key of %s: %v", id, e.Cursor, found)
		}
	}
}

func (w *flipWriter) append(s *Store, id string) {
	batch := w.k.randomBatchFor(id, w.random, &w.epoch)
	batch.NewKeys = false
	err := s.Append(w.t.Context(), id, batch)
	if err == nil {
		w.k.add(id, batch)
		return
	}
	w.allow("Append", id, err)
	// It may have taken effect all the same.
	head, err := s.Load(w.t.Context(), id, replay.Cursor{})
	missing := errors.Is(err, replay.ErrNotFound)
	switch history := w.k[id]; {
	case !missing && err != nil:
		w.allow("Load", id, err)
		w.lost[id] = true
	case missing && history == nil || history != nil && !missing && head.Cursor == history.head():
	case missing == batch.Remove && (missing || head.Cursor == batch.Last()):
		w.k.add(id, batch)
	case !w.lenient:
		w.t.Errorf("%q is at %s, %v after an Append to %s failed", id, head.Cursor, err, batch.Last())
	default:
		w.lost[id] = true
	}
}

func (w *flipWriter) ids(s *Store) {
	found := make(map[string]bool)
	for id, err := range s.IDs(w.t.Context()) {
		if !w.allow("IDs", "", err) {
			return
		}
		found[id] = true
	}
	for id := range w.k {
		if !w.lost[id] && !found[id] && !w.lenient {
			w.t.Errorf("IDs leaves out %q", id)
		}
	}
}
