package replaytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func matchesModel(f *fixture)        { f.operateAtRandom(f.open(), unbounded) }
func matchesModelTrimmed(f *fixture) { f.operateAtRandom(f.openBounded(6), 6) }

// operateAtRandom applies random operations to a store and to a model of it,
// and compares what they say.
func (f *fixture) operateAtRandom(s *subject, bound int) {
	f.Helper()
	seed := f.harness.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	f.Logf("set Harness.Seed to %d to repeat these operations", seed)
	m := &model{
		fixture: f,
		random:  rand.New(rand.NewPCG(seed, 0)),
		bound:   bound,
		handles: []*subject{s, f.second(s)},
		ids:     map[string]*modelled{"a": {}, "A": {}, "b {c}": {}, "🙂": {}},
	}
	f.Cleanup(func() {
		if f.Failed() {
			f.Logf("the last operations:\n%s", strings.Join(m.trace[max(0, len(m.trace)-15):], "\n"))
		}
	})
	steps := 1500
	if testing.Short() {
		steps = 300
	}
	for range steps {
		m.step()
		if f.Failed() {
			f.FailNow()
		}
	}
}

// model is what the store should hold.
type model struct {
	*fixture
	random  *rand.Rand
	bound   int
	handles []*subject
	ids     map[string]*modelled
	keys    int
	trace   []string
}

// modelled is what the store should hold of one id.
type modelled struct {
	now    *history      // nil where there is none
	oldest uint64        // of now
	last   replay.Cursor // of the last removed history
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%5d: ", len(m.trace))+fmt.Sprintf(format, args...))
}

// step does one operation on one id and looks at the head afterwards.
func (m *model) step() {
	m.Helper()
	names := []string{"a", "A", "b {c}", "🙂"}
	id := names[m.random.IntN(len(names))]
	s := m.handles[m.random.IntN(len(m.handles))]
	switch dice := m.random.IntN(100); {
	case dice < 45:
		m.commit(s, id)
	case dice < 60:
		m.conflict(s, id)
	case dice < 65:
		m.invalid(s, id)
	case dice < 85:
		m.read(s, id)
	case dice < 96:
		m.find(s, id)
	case dice < 99:
		m.listIDs(s)
	default:
		m.reopen()
	}
	if !m.Failed() {
		m.look(m.handles[m.random.IntN(len(m.handles))], id)
	}
}

// entries returns some entries, with a state and a key here and there.
func (m *model) entries() []replay.Entry {
	entries := many(fmt.Sprint("step ", len(m.trace), " entry "), 1+m.random.IntN(4))
	for i := range entries {
		if m.random.IntN(3) == 0 {
			entries[i].State = fmt.Append(nil, "state of step ", len(m.trace), " entry ", i)
		}
		switch m.random.IntN(6) {
		case 0, 1:
			entries[i].Key = fmt.Sprint("key ", m.keys)
			m.keys++
		case 2:
			entries[i].Key = "repeated"
		}
	}
	return entries
}

func (m *model) commit(s *subject, id string) {
	m.Helper()
	at := m.ids[id]
	want := at.now
	if want == nil {
		want = &history{}
	}
	batch := start(max(at.last.Epoch, firstEpoch)+1+m.random.Uint64N(3), m.entries()...)
	if at.now != nil {
		batch = at.now.next(m.entries()...)
		if m.random.IntN(12) == 0 {
			batch = at.now.over(at.now.head().Epoch+1+m.random.Uint64N(3), m.entries()...)
		}
	}
	if m.random.IntN(2) == 0 {
		batch.Meta = fmt.Append(nil, "meta of step ", len(m.trace))
	}
	if m.random.IntN(2) == 0 {
		batch.ExpectMeta = append([]byte{}, want.meta...)
	}
	batch.Remove = m.random.IntN(20) == 0
	batch.NewKeys = m.random.IntN(3) == 0
	m.note("Append to %q expecting %s, of %s to %s, remove %t, new keys %t",
		id, batch.Expect, firstOf(batch), batch.Last(), batch.Remove, batch.NewKeys)
	if batch.NewKeys && at.now != nil {
		if known := s.finds(id, at.now, at.oldest, keysOf(batch.Entries)...); len(known) > 0 {
			m.note("%d of the keys are known", len(known))
			s.conflictKnown(id, at.now, batch, known)
			return
		}
	}
	oldest := s.commit(id, want, batch)
	if batch.Remove {
		*at = modelled{last: batch.Last()}
		return
	}
	before := at.oldest
	if batch.Starts() {
		before = 1
	}
	m.trims(want, before, oldest)
	at.now, at.oldest = want, oldest
}

// keysOf returns the keys of entries.
func keysOf(entries []replay.Entry) []string {
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	return keys
}

// trims checks that a store may trim a history so far.
func (m *model) trims(want *history, before, oldest uint64) {
	m.Helper()
	head := want.head().Revision
	switch {
	case m.bound == unbounded && oldest != 1:
		m.Errorf("oldest is %d at revision %d, but nothing had to be trimmed", oldest, head)
	case oldest < before:
		m.Errorf("oldest went back from %d to %d", before, oldest)
	case m.bound != unbounded && oldest > max(1, head+1-min(head, uint64(m.bound))):
		m.Errorf("oldest is %d at revision %d of a store that keeps %d", oldest, head, m.bound)
	case m.bound != unbounded && head+1-oldest > uint64(m.bound+slack):
		m.Errorf("oldest is %d at revision %d of a store that keeps %d and may keep %d more", oldest, head, m.bound, slack)
	}
}

func (m *model) conflict(s *subject, id string) {
	m.Helper()
	at := m.ids[id]
	if at.now != nil && m.random.IntN(4) == 0 {
		m.conflictReplaced(s, id)
		return
	}
	expect := replay.Cursor{Epoch: at.last.Epoch + 1, Revision: 1 + m.random.Uint64N(9)}
	if at.now != nil {
		expect = m.cursor(at)
		if expect == at.now.head() || expect.Epoch == 0 {
			expect = at.now.head().Next()
		}
	}
	batch := follow(expect, m.entries()...)
	if m.random.IntN(5) == 0 {
		batch = start(expect.Epoch+1+m.random.Uint64N(3), m.entries()...)
		batch.Expect = expect
	}
	if m.random.IntN(3) == 0 && (at.now != nil || !at.last.IsZero()) {
		epoch := max(1, at.last.Epoch-m.random.Uint64N(3))
		if at.now != nil {
			epoch = at.now.head().Epoch + m.random.Uint64N(3) - 1
		}
		batch = start(epoch, m.entries()...)
	}
	batch.Meta = []byte("lost")
	batch.Remove = m.random.IntN(5) == 0
	batch.NewKeys = m.random.IntN(3) == 0
	if m.random.IntN(3) == 0 {
		batch.ExpectMeta = []byte("of no batch")
	}
	m.note("Append to %q expecting %s, from %s, remove %t: conflict", id, batch.Expect, firstOf(batch), batch.Remove)
	switch {
	case at.now != nil:
		s.conflictAt(id, at.now, batch)
	case !at.last.IsZero():
		s.conflictRemoved(id, at.last, batch)
	default:
		s.conflict(id, batch)
	}
}

// conflictReplaced appends at the head, but expects another meta.
func (m *model) conflictReplaced(s *subject, id string) {
	m.Helper()
	now := m.ids[id].now
	batch := now.next(m.entries()...)
	if m.random.IntN(4) == 0 {
		batch = now.over(now.head().Epoch+1, m.entries()...)
	}
	batch.ExpectMeta = []byte("of no batch")
	if len(now.meta) > 0 && m.random.IntN(2) == 0 {
		batch.ExpectMeta = now.meta[:len(now.meta)-1]
	}
	batch.Meta = []byte("lost")
	batch.Remove = m.random.IntN(5) == 0
	batch.NewKeys = m.random.IntN(3) == 0
	m.note("Append to %q from %s expecting meta %q: conflict", id, firstOf(batch), batch.ExpectMeta)
	s.conflictReplaced(id, now, batch)
}

func (m *model) invalid(s *subject, id string) {
	m.Helper()
	batch := start(firstEpoch+1<<30, m.entries()...)
	if now := m.ids[id].now; now != nil {
		batch = now.next(m.entries()...)
	}
	i := m.random.IntN(len(batch.Entries))
	batch.Entries[i].Cursor.Revision += 1 + m.random.Uint64N(3)
	m.note("Append to %q from %s: invalid", id, firstOf(batch))
	if err := s.store.Append(m.ctx, id, batch); !errors.Is(err, replay.ErrInvalidBatch) {
		m.Errorf("Append of a batch with entry %d numbered %s: error %v; want ErrInvalidBatch", i, batch.Entries[i].Cursor, err)
	}
}

// cursor returns a position in the history or beside it.
func (m *model) cursor(at *modelled) replay.Cursor {
	cursor := at.now.at(m.random.Uint64N(at.now.head().Revision + 3))
	if m.random.IntN(2) == 0 { // not far from the oldest
		cursor.Revision = max(at.oldest, 3) + m.random.Uint64N(5) - 3
	}
	switch m.random.IntN(12) {
	case 0:
		cursor.Epoch = at.last.Epoch
	case 1:
		cursor.Epoch++
	case 2:
		if n := len(at.now.earlier); n > 0 {
			cursor.Epoch = at.now.earlier[m.random.IntN(n)].Cursor.Epoch
		}
	}
	return cursor
}

func (m *model) read(s *subject, id string) {
	m.Helper()
	at := m.ids[id]
	if at.now == nil {
		m.note("Read of %q, which is not there", id)
		entries, err := s.store.Read(m.ctx, id, at.last, all)
		if !errors.Is(err, replay.ErrNotFound) || len(entries) > 0 {
			m.Errorf("Read of %q: %d entries, error %v; want ErrNotFound", id, len(entries), err)
		}
		return
	}
	after, limit := m.cursor(at), 1+m.random.IntN(12)
	m.note("Read of %q after %s, up to %d", id, after, limit)
	switch head := at.now.head(); {
	case after.Epoch != head.Epoch:
		s.readRefused(id, after, replay.ErrUnknownEpoch, head, at.oldest)
	case after.Revision > head.Revision:
		s.readRefused(id, after, replay.ErrFutureCursor, head, at.oldest)
	case after.Revision+1 < at.oldest:
		s.readRefused(id, after, replay.ErrCursorTooOld, head, at.oldest)
	default:
		following := at.now.after(after)
		s.sameEntries("Read", s.read(id, after, limit), following[:min(limit, len(following))])
	}
}

func (m *model) find(s *subject, id string) {
	m.Helper()
	at := m.ids[id]
	keys := []string{"absent"}
	for range 5 {
		keys = append(keys, fmt.Sprint("key ", m.random.IntN(m.keys+2)))
	}
	keys = append(keys, "repeated")
	if at.now == nil {
		m.note("Find in %q, which is not there, of %q", id, keys)
		s.sameEntries("Find", s.find(id, keys...), nil)
		return
	}
	for _, entry := range slices.Concat(at.now.entries, at.now.earlier) {
		if entry.Key != "" && m.random.IntN(4) == 0 {
			keys = append(keys, entry.Key)
		}
	}
	m.note("Find in %q of %q", id, keys)
	s.finds(id, at.now, at.oldest, keys...)
}

func (m *model) listIDs(s *subject) {
	m.Helper()
	m.note("IDs")
	var want []string
	for id, at := range m.ids {
		if at.now != nil {
			want = append(want, id)
		}
	}
	s.sameIDs(want)
}

func (m *model) reopen() {
	m.Helper()
	if m.harness.Reopen == nil {
		return
	}
	m.note("Reopen")
	i := m.random.IntN(len(m.handles))
	m.handles[i] = m.fixture.reopen(m.handles[i])
	if m.harness.Second == nil {
		m.handles = []*subject{m.handles[i], m.handles[i]}
	}
}

// look compares the head.
func (m *model) look(s *subject, id string) {
	m.Helper()
	at := m.ids[id]
	if at.now == nil {
		s.holdsNothing(id)
		return
	}
	head := s.load(id)
	m.trims(at.now, at.oldest, head.Oldest)
	at.oldest = head.Oldest
	s.sameHead(id, head, at.now, at.oldest)
}
