package replaytest

import (
	"fmt"
	"math"
	"strconv"

	"github.com/safe-go/safe/replay"
)

// firstEpoch is as large as real epochs are: a float64 cannot tell it from its
// neighbours.
const firstEpoch uint64 = 1_900_000_000_000<<20 + 1

// history is what a store should hold of an id.
type history struct {
	entries []replay.Entry // of the newest epoch; they stay when it is removed
	// snapshot is the newest one, of the state after the revision snapshotAt.
	snapshot   []byte
	snapshotAt uint64
	meta       []byte
	removed    bool
	earlier    []replay.Entry // from before it was restarted
	epochs     []uint64       // all that it has had
	// batches has every batch by the position of its first entry.
	batches map[replay.Cursor]replay.Batch
}

// add notes a batch that was committed.
func (h *history) add(batch replay.Batch) {
	if batch.Starts() {
		h.earlier = append(h.earlier, h.entries...)
		if batch.Expect.IsZero() {
			h.earlier = nil
		}
		h.entries = nil
		h.epochs = append(h.epochs, batch.Last().Epoch)
	}
	h.entries = append(h.entries, batch.Entries...)
	if len(batch.Snapshot) > 0 {
		h.snapshot, h.snapshotAt = batch.Snapshot, batch.Last().Revision
	}
	h.meta, h.removed = batch.Meta, batch.Remove
	if h.batches == nil {
		h.batches = make(map[replay.Cursor]replay.Batch)
	}
	h.batches[firstOf(batch)] = batch
}

// exists reports whether Load should find the history.
func (h *history) exists() bool { return len(h.entries) > 0 && !h.removed }

// head is the last position, also of a removed history. It is zero before the
// first start.
func (h *history) head() replay.Cursor {
	return replay.Batch{Entries: h.entries}.Last()
}

// at is the position of a revision.
func (h *history) at(revision uint64) replay.Cursor {
	return replay.Cursor{Epoch: h.head().Epoch, Revision: revision}
}

// after returns the entries after a cursor, and none if it is of another epoch
// or after the head.
func (h *history) after(cursor replay.Cursor) []replay.Entry {
	if cursor.Epoch != h.head().Epoch || cursor.Revision > h.head().Revision {
		return nil
	}
	return h.entries[cursor.Revision:]
}

// needsSnapshot reports whether the entries after a position do not lead from the
// state there to the newest one.
func (h *history) needsSnapshot(have replay.Cursor) bool {
	return have.Epoch != h.head().Epoch || have.Revision < h.snapshotAt || have.Revision > h.head().Revision
}

// newest returns the newest entry that carries the key, nil if there is none.
func (h *history) newest(key string) *replay.Entry {
	for _, entries := range [][]replay.Entry{h.entries, h.earlier} {
		for i := len(entries) - 1; i >= 0 && key != ""; i-- {
			if entries[i].Key == key {
				return &entries[i]
			}
		}
	}
	return nil
}

// next numbers the entries as a batch after the head.
func (h *history) next(entries ...replay.Entry) replay.Batch { return follow(h.head(), entries...) }

// end returns the batch that removes the history.
func (h *history) end() replay.Batch { return removing(h.next(theEnd()...)) }

// restart numbers the entries as a batch that restarts the history.
func (h *history) restart(epoch uint64, entries ...replay.Entry) replay.Batch {
	batch := start(epoch, entries...)
	batch.Expect = h.head()
	return batch
}

// theEnd is the last entry of a removed history, by which a follower knows from
// the entries alone that it was removed.
func theEnd() []replay.Entry { return contents("the end") }

// start numbers the entries as the first batch of an epoch, which has a snapshot.
func start(epoch uint64, entries ...replay.Entry) replay.Batch {
	batch := withSnapshot(follow(replay.Cursor{Epoch: epoch}, entries...))
	batch.Expect = replay.Cursor{}
	return batch
}

// withSnapshot adds a snapshot to the batch. It differs from that of every other
// batch that has another position or other data.
func withSnapshot(batch replay.Batch) replay.Batch {
	last := batch.Entries[len(batch.Entries)-1]
	batch.Snapshot = fmt.Appendf(nil, "state after %s, %s", last.Cursor, last.Data)
	return batch
}

// withoutSnapshot takes the snapshot from the batch.
func withoutSnapshot(batch replay.Batch) replay.Batch {
	batch.Snapshot = nil
	return batch
}

// follow numbers the entries as a batch after a head.
func follow(expect replay.Cursor, entries ...replay.Entry) replay.Batch {
	batch := replay.Batch{Expect: expect}
	for _, entry := range entries {
		expect = expect.Next()
		entry.Cursor = expect
		batch.Entries = append(batch.Entries, entry)
	}
	return batch
}

// removing makes the batch the last of its history.
func removing(batch replay.Batch) replay.Batch {
	batch.Remove = true
	return batch
}

// newKeys makes new keys a condition of the batch.
func newKeys(batch replay.Batch) replay.Batch {
	batch.NewKeys = true
	return batch
}

// contents returns entries with these data.
func contents(data ...string) []replay.Entry {
	entries := make([]replay.Entry, len(data))
	for i := range data {
		entries[i].Data = []byte(data[i])
	}
	return entries
}

// many returns n entries with different data.
func many(prefix string, n int) []replay.Entry {
	entries := make([]replay.Entry, n)
	for i := range entries {
		entries[i].Data = []byte(prefix + strconv.Itoa(i))
	}
	return entries
}

// keyed returns entries that carry these keys.
func keyed(keys ...string) []replay.Entry {
	entries := make([]replay.Entry, len(keys))
	for i, key := range keys {
		entries[i] = replay.Entry{Key: key, Data: []byte(fmt.Sprintf("data of %q", key))}
	}
	return entries
}

// keysOf returns the keys of entries.
func keysOf(entries []replay.Entry) []string {
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	return keys
}

// carriers returns the entries that carry the key.
func carriers(entries []replay.Entry, key string) (carriers []replay.Entry) {
	for _, entry := range entries {
		if entry.Key == key {
			carriers = append(carriers, entry)
		}
	}
	return carriers
}

func firstOf(batch replay.Batch) replay.Cursor {
	if len(batch.Entries) == 0 {
		return replay.Cursor{}
	}
	return batch.Entries[0].Cursor
}

// otherHeads returns cursors that are not the head, by what they are.
func otherHeads(want *history) map[string]replay.Cursor {
	head := want.head()
	return map[string]replay.Cursor{
		"the one before":       {Epoch: head.Epoch, Revision: head.Revision - 1},
		"the first":            want.at(1),
		"one in the future":    head.Next(),
		"far in the future":    {Epoch: head.Epoch, Revision: 1 << 62},
		"beyond 2^63":          {Epoch: head.Epoch, Revision: 1<<63 + 1},
		"near the last":        {Epoch: head.Epoch, Revision: math.MaxUint64 - 3},
		"before the first":     want.at(0),
		"in a later epoch":     {Epoch: head.Epoch + 1, Revision: head.Revision},
		"in an earlier epoch":  {Epoch: head.Epoch - 1, Revision: head.Revision},
		"in a distant epoch":   {Epoch: 1, Revision: head.Revision},
		"in the largest epoch": {Epoch: math.MaxUint64, Revision: head.Revision},
	}
}
