package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/safe-go/safe/replay"
)

// model is what a store should hold: each history that is there, and its epochs
// in order.
type model map[string]*modelHistory

type modelHistory struct {
	epochs [][]replay.Entry
	meta   []byte
	// snapshot is the newest one, and snapshotAt its revision.
	snapshot   []byte
	snapshotAt uint64
	// trimmed is how many entries are no longer kept.
	trimmed uint64
}

// clone returns a copy that further batches do not change.
func (s *modelHistory) clone() *modelHistory {
	if s == nil {
		return nil
	}
	copied := *s
	copied.epochs = slices.Clone(s.epochs)
	return &copied
}

func (s *modelHistory) entries() []replay.Entry { return s.epochs[len(s.epochs)-1] }

func (s *modelHistory) head() replay.Cursor { return s.entries()[len(s.entries())-1].Cursor }

// sameHead compares a head that was loaded by a caller who knows no state.
func (s *modelHistory) sameHead(head replay.Head, oldest uint64) error {
	if head.Cursor != s.head() || head.Oldest != oldest || string(head.Snapshot) != string(s.snapshot) ||
		head.SnapshotRevision != s.snapshotAt || string(head.Meta) != string(s.meta) {
		return fmt.Errorf("%w: head %s from %d, snapshot %.40q at %d, meta %.40q; want %s from %d, %.40q at %d, %.40q", errWrong,
			head.Cursor, head.Oldest, head.Snapshot, head.SnapshotRevision, head.Meta, s.head(), oldest, s.snapshot, s.snapshotAt, s.meta)
	}
	return nil
}

// add notes a batch that was committed.
func (k model) add(id string, batch replay.Batch) {
	if batch.Remove {
		delete(k, id)
		return
	}
	s := k[id]
	if s == nil {
		s = &modelHistory{}
		k[id] = s
	}
	if batch.Starts() {
		s.epochs = append(s.epochs, nil)
		s.snapshot, s.snapshotAt = nil, 0
	}
	if len(batch.Snapshot) > 0 {
		s.snapshot, s.snapshotAt = batch.Snapshot, batch.Last().Revision
	}
	last := len(s.epochs) - 1
	s.epochs[last] = append(slices.Clip(s.epochs[last]), batch.Entries...)
	s.meta = batch.Meta
}

// next numbers entries as the next batch of an id.
func (k model) next(id string, entries ...replay.Entry) replay.Batch {
	var batch replay.Batch
	at := replay.Cursor{Epoch: 7}
	if s := k[id]; s != nil {
		at = s.head()
		batch.Expect = at
	}
	return numbered(batch, at, entries)
}

// numbered adds entries to a batch that follow a cursor.
func numbered(batch replay.Batch, at replay.Cursor, entries []replay.Entry) replay.Batch {
	for _, e := range entries {
		at = at.Next()
		e.Cursor = at
		batch.Entries = append(batch.Entries, e)
	}
	if batch.Starts() {
		return withSnapshot(batch)
	}
	return batch
}

// withSnapshot adds a snapshot to a batch that names its position.
func withSnapshot(batch replay.Batch, more ...byte) replay.Batch {
	batch.Snapshot = append([]byte("snapshot at "+batch.Last().String()), more...)
	return batch
}

// errWrong is the beginning of what verify says of a store that holds
// something else.
var errWrong = errors.New("the store holds something else")

// verify compares all of a store. Errors of the store are returned as they are.
func (k model) verify(t testing.TB, s *Store) error {
	count := 0
	for id, err := range s.IDs(t.Context()) {
		if err != nil {
			return err
		}
		if k[id] == nil {
			return fmt.Errorf("%w: id %.40q", errWrong, id)
		}
		count++
	}
	if count != len(k) {
		return fmt.Errorf("%w: %d ids; want %d", errWrong, count, len(k))
	}
	for id, want := range k {
		if err := want.verify(t, s, id); err != nil {
			return fmt.Errorf("%.40q: %w", id, err)
		}
	}
	return nil
}

func (want *modelHistory) verify(t testing.TB, s *Store, id string) error {
	head, err := s.Load(t.Context(), id, replay.Cursor{})
	if err != nil {
		return err
	}
	if err := want.sameHead(head, want.trimmed+1); err != nil {
		return err
	}
	if err := want.verifyContinues(t, s, id); err != nil {
		return err
	}
	entries, err := s.Read(t.Context(), id, replay.Cursor{Epoch: head.Cursor.Epoch, Revision: want.trimmed}, 1<<30)
	if err != nil {
		return err
	}
	if err := sameEntries(entries, want.entries()[want.trimmed:]); err != nil {
		return err
	}
	newest := make(map[string]replay.Entry)
	for _, epoch := range want.epochs {
		for _, e := range epoch {
			if e.Key != "" && (e.Cursor.Epoch < head.Cursor.Epoch || e.Cursor.Revision > want.trimmed) {
				newest[e.Key] = e
			}
		}
	}
	for key, e := range newest {
		found, err := s.Find(t.Context(), id, []string{key})
		if err != nil {
			return err
		}
		if err := sameEntries(found, []replay.Entry{e}); err != nil {
			return fmt.Errorf("key %.40q: %w", key, err)
		}
	}
	return nil
}

// verifyContinues checks that Load leaves out the snapshot for who knows the state
// at its position or a later one, and for nobody else.
func (want *modelHistory) verifyContinues(t testing.TB, s *Store, id string) error {
	at := want.head()
	for _, have := range []replay.Cursor{
		at, {Epoch: at.Epoch, Revision: want.snapshotAt}, {Epoch: at.Epoch, Revision: want.snapshotAt - 1}, at.Next(), {Epoch: at.Epoch - 1, Revision: at.Revision},
	} {
		head, err := s.Load(t.Context(), id, have)
		if err != nil {
			return err
		}
		known := have.Epoch == at.Epoch && have.Revision >= want.snapshotAt && have.Revision <= at.Revision
		if known && head.Snapshot != nil || !known && string(head.Snapshot) != string(want.snapshot) || head.SnapshotRevision != want.snapshotAt {
			return fmt.Errorf("%w: for a caller at %s the snapshot %.40q at %d; want %.40q at %d, left out: %t", errWrong,
				have, head.Snapshot, head.SnapshotRevision, want.snapshot, want.snapshotAt, known)
		}
	}
	return nil
}

func sameEntries(got, want []replay.Entry) error {
	if len(got) != len(want) {
		return fmt.Errorf("%w: %d entries; want %d", errWrong, len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Cursor != w.Cursor || g.Key != w.Key || string(g.Data) != string(w.Data) {
			return fmt.Errorf("%w: entry %d is %.200q; want %.200q", errWrong, i, fmt.Sprint(g), fmt.Sprint(w))
		}
	}
	return nil
}

// randomBatch returns a batch for one of some ids that commits.
func (k model) randomBatch(random *rand.Rand, epoch *uint64) (id string, batch replay.Batch) {
	id = fmt.Sprint("id ", random.IntN(12))
	return id, k.randomBatchFor(id, random, epoch)
}

func (k model) randomBatchFor(id string, random *rand.Rand, epoch *uint64) (batch replay.Batch) {
	entries := make([]replay.Entry, 1+random.IntN(5))
	for i := range entries {
		entries[i].Data = randomBytes(random, 300)
		if random.IntN(2) == 0 {
			entries[i].Key = fmt.Sprint("key ", random.IntN(200))
		}
		if random.IntN(60) == 0 {
			entries[i].Data = randomBytes(random, 20_000)
		}
	}
	*epoch++
	batch.Meta = randomBytes(random, 40)
	at := replay.Cursor{Epoch: *epoch}
	if s := k[id]; s != nil {
		batch.Expect = s.head()
		if random.IntN(20) > 0 { // else it is restarted
			at = s.head()
		}
	}
	batch = numbered(batch, at, entries)
	if random.IntN(3) == 0 {
		batch = withSnapshot(batch, randomBytes(random, 300)...)
	}
	if random.IntN(20) == 0 {
		batch = withSnapshot(batch, randomBytes(random, 20_000)...)
	}
	batch.Remove = random.IntN(15) == 0
	return batch
}
