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

// operateAtRandom applies random operations to a store and to a model of it, and
// compares the results.
func (f *fixture) operateAtRandom(h *handle, bound int) {
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
		handles: []*handle{h, f.second(h)},
		ids:     map[string]*modelled{},
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
	handles []*handle
	ids     map[string]*modelled
	keys    int
	trace   []string
}

// modelled is what the store should hold of one id, from the revision oldest on.
type modelled struct {
	history
	oldest uint64
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%5d: ", len(m.trace))+fmt.Sprintf(format, args...))
}

// step does one operation on one id and compares the head afterwards.
func (m *model) step() {
	m.Helper()
	names := []string{"a", "A", "b {c}", "🙂"}
	id := names[m.random.IntN(len(names))]
	if m.ids[id] == nil {
		m.ids[id] = &modelled{}
	}
	h := m.handles[m.random.IntN(len(m.handles))]
	switch dice := m.random.IntN(100); {
	case dice < 45:
		m.commit(h, id)
	case dice < 60:
		m.conflict(h, id)
	case dice < 65:
		m.invalid(h, id)
	case dice < 85:
		m.read(h, id)
	case dice < 96:
		m.find(h, id)
	case dice < 99:
		m.listIDs(h)
	default:
		m.reopen()
	}
	if !m.Failed() {
		m.compareHead(m.handles[m.random.IntN(len(m.handles))], id)
	}
}

// entries returns some entries, with a key here and there.
func (m *model) entries() []replay.Entry {
	entries := many(fmt.Sprint("step ", len(m.trace), " entry "), 1+m.random.IntN(4))
	for i := range entries {
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

func (m *model) commit(h *handle, id string) {
	m.Helper()
	at := m.ids[id]
	batch := start(max(at.head().Epoch, firstEpoch)+1+m.random.Uint64N(3), m.entries()...)
	if at.exists() {
		batch = at.next(m.entries()...)
		if m.random.IntN(12) == 0 {
			batch = at.restart(at.head().Epoch+1+m.random.Uint64N(3), m.entries()...)
		}
	}
	if m.random.IntN(2) == 0 {
		batch.Meta = fmt.Append(nil, "meta of step ", len(m.trace))
	}
	if m.random.IntN(2) == 0 {
		batch = expecting(at.meta, batch)
	}
	batch.Remove = m.random.IntN(20) == 0
	batch.NewKeys = m.random.IntN(3) == 0
	if m.random.IntN(4) == 0 {
		batch = withSnapshot(batch)
	}
	m.note("Append to %q expecting %s, of %s to %s, snapshot %q, remove %t, new keys %t",
		id, batch.Expect, firstOf(batch), batch.Last(), batch.Snapshot, batch.Remove, batch.NewKeys)
	if batch.NewKeys && at.exists() {
		if known := h.finds(id, &at.history, at.oldest, keysOf(batch.Entries)...); len(known) > 0 {
			m.note("%d of the keys are known", len(known))
			h.refused(replay.ConflictKnownKeys, id, &at.history, batch, known...)
			return
		}
	}
	before := at.oldest
	if batch.Starts() {
		before = 1
	}
	if at.oldest = h.commit(id, &at.history, batch); !batch.Remove {
		m.mayTrim(at, before)
	}
}

// mayTrim checks that the store may have trimmed a history as far as it did.
func (m *model) mayTrim(at *modelled, before uint64) {
	m.Helper()
	head, oldest := at.head().Revision, at.oldest
	switch {
	case m.bound == unbounded && oldest != 1:
		m.Errorf("oldest is %d at revision %d, but nothing had to be trimmed", oldest, head)
	case oldest < before:
		m.Errorf("oldest went back from %d to %d", before, oldest)
	case m.bound != unbounded && oldest > max(1, head+1-min(head, uint64(m.bound))):
		m.Errorf("oldest is %d at revision %d of a store that keeps %d", oldest, head, m.bound)
	case m.bound != unbounded && head+1-oldest > max(uint64(m.bound), head-at.snapshotAt)+slack:
		m.Errorf("oldest is %d at revision %d, snapshot at %d, of a store that keeps %d and may keep %d more", oldest, head, at.snapshotAt, m.bound, slack)
	}
}

// conflict appends a batch that must be refused.
func (m *model) conflict(h *handle, id string) {
	m.Helper()
	at := m.ids[id]
	reason, expect := replay.ConflictMoved, replay.Cursor{Epoch: at.head().Epoch + 1, Revision: 1 + m.random.Uint64N(9)}
	switch {
	case at.exists() && m.random.IntN(4) == 0:
		reason, expect = replay.ConflictReplaced, at.head()
	case at.exists():
		if expect = m.cursor(at); expect == at.head() || expect.Epoch == 0 {
			expect = at.head().Next()
		}
	case at.removed:
		reason = replay.ConflictRemoved
	}
	batch := follow(expect, m.entries()...)
	if m.random.IntN(5) == 0 {
		batch = start(expect.Epoch+1+m.random.Uint64N(3), m.entries()...)
		batch.Expect = expect
	}
	switch {
	case reason == replay.ConflictMoved && at.exists() && m.random.IntN(3) == 0:
		batch = start(at.head().Epoch+m.random.Uint64N(3)-1, m.entries()...)
	case at.removed && m.random.IntN(3) == 0:
		batch = start(at.head().Epoch-m.random.Uint64N(3), m.entries()...)
	}
	batch.Meta = []byte("lost")
	batch.Remove = m.random.IntN(5) == 0
	batch.NewKeys = m.random.IntN(3) == 0
	if reason == replay.ConflictReplaced || m.random.IntN(3) == 0 {
		batch.ExpectMeta = []byte("of no batch")
		if len(at.meta) > 0 && m.random.IntN(2) == 0 {
			batch.ExpectMeta = at.meta[:len(at.meta)-1]
		}
	}
	m.note("Append to %q expecting %s with meta %q, from %s, remove %t: %s", id, batch.Expect, batch.ExpectMeta, firstOf(batch), batch.Remove, reason)
	h.refused(reason, id, &at.history, batch)
}

func (m *model) invalid(h *handle, id string) {
	m.Helper()
	batch := start(firstEpoch+1<<30, m.entries()...)
	if at := m.ids[id]; at.exists() {
		batch = withSnapshot(at.next(m.entries()...))
	}
	i := m.random.IntN(len(batch.Entries))
	batch.Entries[i].Cursor.Revision += 1 + m.random.Uint64N(3)
	m.note("Append to %q from %s: invalid", id, firstOf(batch))
	if err := h.store.Append(m.ctx, id, batch); !errors.Is(err, replay.ErrInvalidBatch) {
		m.Errorf("Append of a batch with entry %d numbered %s: error %v; want ErrInvalidBatch", i, batch.Entries[i].Cursor, err)
	}
}

// cursor returns a position in the history or beside it.
func (m *model) cursor(at *modelled) replay.Cursor {
	cursor := at.at(m.random.Uint64N(at.head().Revision + 3))
	if m.random.IntN(2) == 0 { // close to the oldest
		cursor.Revision = max(at.oldest, 3) + m.random.Uint64N(5) - 3
	}
	switch m.random.IntN(12) {
	case 0:
		cursor.Epoch++
	case 1, 2:
		cursor.Epoch = at.epochs[m.random.IntN(len(at.epochs))]
	}
	return cursor
}

func (m *model) read(h *handle, id string) {
	m.Helper()
	at := m.ids[id]
	if !at.exists() {
		return // compareHead reads
	}
	after, limit := m.cursor(at), 1+m.random.IntN(12)
	m.note("Read of %q after %s, up to %d", id, after, limit)
	switch head := at.head(); {
	case after.Epoch != head.Epoch:
		h.readRefused(id, &at.history, after, replay.ErrUnknownEpoch, at.oldest)
	case after.Revision > head.Revision:
		h.readRefused(id, &at.history, after, replay.ErrFutureCursor, at.oldest)
	case after.Revision+1 < at.oldest:
		h.readRefused(id, &at.history, after, replay.ErrCursorTooOld, at.oldest)
	default:
		following := at.after(after)
		h.sameEntries("Read", h.read(id, after, limit), following[:min(limit, len(following))])
	}
}

func (m *model) find(h *handle, id string) {
	m.Helper()
	at := m.ids[id]
	keys := []string{"absent"}
	for range 5 {
		keys = append(keys, fmt.Sprint("key ", m.random.IntN(m.keys+2)))
	}
	keys = append(keys, "repeated")
	for _, entry := range slices.Concat(at.entries, at.earlier) {
		if entry.Key != "" && m.random.IntN(4) == 0 {
			keys = append(keys, entry.Key)
		}
	}
	m.note("Find in %q of %q", id, keys)
	if at.exists() {
		h.finds(id, &at.history, at.oldest, keys...)
	} else {
		h.sameEntries("Find where there is no history", h.find(id, keys...), nil)
	}
}

func (m *model) listIDs(h *handle) {
	m.Helper()
	m.note("IDs")
	var want []string
	for id, at := range m.ids {
		if at.exists() {
			want = append(want, id)
		}
	}
	h.sameIDs(want...)
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
		m.handles = []*handle{m.handles[i], m.handles[i]}
	}
}

// compareHead compares the head, loaded for a caller who has a state or none.
func (m *model) compareHead(h *handle, id string) {
	m.Helper()
	at := m.ids[id]
	if !at.exists() {
		h.holdsNothing(id, &at.history)
		return
	}
	var have replay.Cursor
	if m.random.IntN(2) == 0 {
		have = m.cursor(at)
	}
	head, before := h.loadFor(id, have), at.oldest
	at.oldest = head.Oldest
	m.mayTrim(at, before)
	h.sameHead(id, have, head, &at.history, at.oldest)
}
