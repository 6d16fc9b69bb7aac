package sharedata

import (
	"sync"

	"github.com/safe-go/safe/replay"
)

// recentBytes bounds the data, the proofs and the effects of the entries that a
// recentEntries keeps.
const recentBytes = 256 << 10

// recentEntries keeps the newest entries of a history that is followed: what a
// subscriber missed in a short absence is read from memory, at no cost for the store
// and also while the store cannot be reached.
type recentEntries struct {
	mu      sync.Mutex
	max     int
	from    replay.Cursor // what comes after it is kept; zero: nothing is
	entries []Entry
	bytes   int
}

// restart begins to keep what comes after a position.
func (r *recentEntries) restart(from replay.Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from, r.entries, r.bytes = from, nil, 0
}

// stop forgets everything.
func (r *recentEntries) stop() { r.restart(replay.Cursor{}) }

// add notes what was committed.
func (r *recentEntries) add(events []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		e := &events[i]
		if e.Reset {
			r.from, r.entries, r.bytes = e.Cursor, nil, 0
			continue
		}
		r.entries = append(r.entries, e.Entry)
		r.bytes += recentSize(&e.Entry)
	}
	drop := 0
	for ; drop < len(r.entries) && (len(r.entries)-drop > r.max || r.bytes > recentBytes); drop++ {
		r.from = r.entries[drop].Cursor
		r.bytes -= recentSize(&r.entries[drop])
	}
	if drop > 0 {
		// Moved within the array, which stays as large as it ever needs to be.
		kept := copy(r.entries, r.entries[drop:])
		clear(r.entries[kept:])
		r.entries = r.entries[:kept]
	}
}

// recentSize is what an entry counts for: what its proposer made large.
func recentSize(e *Entry) int { return len(e.Data) + len(e.Proof) + len(e.Patch) + len(e.NewState) }

// after returns up to limit entries that come after a cursor; ok is false where
// they have to be read from the store.
func (r *recentEntries) after(cursor replay.Cursor, limit int) (entries []Entry, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from.IsZero() || cursor.Epoch != r.from.Epoch || cursor.Revision < r.from.Revision {
		return nil, false
	}
	skip := cursor.Revision - r.from.Revision
	if skip > uint64(len(r.entries)) {
		return nil, false
	}
	kept := r.entries[skip:]
	return append([]Entry(nil), kept[:min(limit, len(kept))]...), true
}

// hashAt returns the hash of the entry at a position, if it is kept.
func (r *recentEntries) hashAt(cursor replay.Cursor) (hash Hash, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cursor.Epoch != r.from.Epoch || cursor.Revision <= r.from.Revision || cursor.Revision > r.from.Revision+uint64(len(r.entries)) {
		return hash, false
	}
	return r.entries[cursor.Revision-r.from.Revision-1].Hash, true
}

// byKey returns the transactions that carry an idempotency key, by the key under
// which the store knows them.
func (r *recentEntries) byKey() map[string]Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	keyed := make(map[string]Entry)
	for _, e := range r.entries {
		if e.IdempotencyKey != "" {
			keyed[storeKey(e.Caller, e.IdempotencyKey)] = e
		}
	}
	return keyed
}
