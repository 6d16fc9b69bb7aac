package replaytest

import (
	"fmt"
	"strconv"

	"github.com/safe-go/safe/replay"
)

// firstEpoch is as large as epochs in use are: more than a float64 can tell
// apart from its neighbours.
const firstEpoch uint64 = 1_900_000_000_000<<20 + 1

// history is what an id should hold, from its start to its removal.
type history struct {
	entries []replay.Entry // of the newest epoch
	meta    []byte
	earlier []replay.Entry // from before it started over
}

func (h *history) add(batch replay.Batch) {
	if batch.Starts() {
		h.earlier = append(h.earlier, h.entries...)
		h.entries = nil
	}
	h.entries = append(h.entries, batch.Entries...)
	h.meta = batch.Meta
}

func (h *history) head() replay.Cursor { return h.entries[len(h.entries)-1].Cursor }

// zero is the position before the first entry.
func (h *history) zero() replay.Cursor { return h.at(0) }

// at is the position of a revision.
func (h *history) at(revision uint64) replay.Cursor {
	return replay.Cursor{Epoch: h.head().Epoch, Revision: revision}
}

// after returns the entries after a cursor, and none for one that is not of
// this history.
func (h *history) after(cursor replay.Cursor) []replay.Entry {
	if cursor.Epoch != h.head().Epoch || cursor.Revision > h.head().Revision {
		return nil
	}
	return h.entries[cursor.Revision:]
}

func (h *history) state() []byte {
	for i := len(h.entries) - 1; i >= 0; i-- {
		if state := h.entries[i].State; len(state) > 0 {
			return state
		}
	}
	return nil
}

// next numbers the entries as a batch after the head.
func (h *history) next(entries ...replay.Entry) replay.Batch { return follow(h.head(), entries...) }

// over numbers the entries as a batch that starts the history over.
func (h *history) over(epoch uint64, entries ...replay.Entry) replay.Batch {
	batch := start(epoch, entries...)
	batch.Expect = h.head()
	return batch
}

// start numbers the entries as the first batch of an epoch.
func start(epoch uint64, entries ...replay.Entry) replay.Batch {
	batch := follow(replay.Cursor{Epoch: epoch}, entries...)
	batch.Expect = replay.Cursor{}
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

// newKeys makes the batch demand that its keys are new.
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

// many returns n entries whose data name them.
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

func firstOf(batch replay.Batch) replay.Cursor {
	if len(batch.Entries) == 0 {
		return replay.Cursor{}
	}
	return batch.Entries[0].Cursor
}

func abbreviated(text string) string {
	if len(text) > 60 {
		return fmt.Sprintf("%.60q… (%d bytes)", text, len(text))
	}
	return strconv.Quote(text)
}
