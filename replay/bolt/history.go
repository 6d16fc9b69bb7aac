package bolt

import (
	"bytes"
	"sort"
	"time"

	"github.com/safe-go/safe/replay"
)

// reading is the part of a transaction that answers questions about histories:
// the file without the entries that are too old by now.
type reading struct {
	content
	// expired is the time, in milliseconds since 1970, before which an entry was
	// appended that is too old now.
	expired int64
}

// neverExpired is a reading.expired that no entry is older than.
const neverExpired = -1

// expiredAt returns the reading.expired of a time.
func (r *retention) expiredAt(now time.Time) int64 {
	if r.maxAge == 0 {
		return neverExpired
	}
	return now.Add(-r.maxAge).UnixMilli()
}

// oldest is the oldest revision that may be returned. Of the entries that are
// too old, some may still be in the file.
func (r reading) oldest(h *head) (uint64, error) {
	first := h.oldest()
	kept := h.cursor.Revision + 1 - first
	if r.expired == neverExpired || kept == 0 {
		return first, nil
	}
	// Entries never get younger towards the head, so one search finds the oldest.
	var failed error
	n := sort.Search(int(kept), func(i int) bool {
		e, err := r.entry(h.number, replay.Cursor{Epoch: h.cursor.Epoch, Revision: first + uint64(i)})
		if err != nil {
			failed = err
		}
		return e.at >= r.expired
	})
	return first + uint64(n), failed
}

// load returns what Store.Load does, copied.
func (r reading) load(id string) (replay.Head, error) {
	h, err := r.head(id)
	if err != nil {
		return replay.Head{}, err
	}
	state, err := r.state(h)
	if err != nil {
		return replay.Head{}, err
	}
	oldest, err := r.oldest(h)
	return replay.Head{Cursor: h.cursor, Oldest: oldest, State: clone(state), Meta: clone(h.meta)}, err
}

// clone copies bytes and makes nil of none.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// read returns what Store.Read does, copied, or errTooLarge once that is more
// than maxBytes.
func (r reading) read(id string, after replay.Cursor, limit int, maxBytes uint64) ([]replay.Entry, error) {
	h, err := r.head(id)
	if err != nil {
		return nil, err
	}
	oldest, err := r.oldest(h)
	if err != nil {
		return nil, err
	}
	if err := (replay.Head{Cursor: h.cursor, Oldest: oldest}).Check(id, after); err != nil {
		return nil, err
	}
	n := min(h.cursor.Revision-after.Revision, uint64(max(limit, 0)))
	if n == 0 {
		return nil, nil
	}
	entries := make([]replay.Entry, 0, min(n, 1<<10))
	cursor := r.bucket(entriesBucket).Cursor()
	next := after.Next()
	key, value := cursor.Seek(entryKey(h.number, next))
	for size := uint64(0); n > 0; n-- {
		e, err := r.entryAt(key, value, h.number, next)
		if err != nil {
			return nil, err
		}
		if size += e.size(); size > maxBytes {
			return nil, errTooLarge
		}
		entries = append(entries, e.entry(next))
		next = next.Next()
		key, value = cursor.Next()
	}
	return entries, nil
}

// entryAt decodes what a cursor of bbolt has found, which must be this entry.
func (r reading) entryAt(key, value []byte, number uint64, at replay.Cursor) (entry, error) {
	if !bytes.Equal(key, entryKey(number, at)) {
		return entry{}, damaged("entry %s of a history is missing", at)
	}
	payload, err := entriesBucket.unseal(key, value)
	if err != nil {
		return entry{}, err
	}
	return decodeEntry(payload)
}

// find returns the newest entry of each of the keys in a history, copied. A key
// finds nothing where its entry is too old.
func (r reading) find(h *head, keys []string) ([]replay.Entry, error) {
	var found []replay.Entry
	seen := make(map[replay.Cursor]bool) // a key may be asked for twice
	for _, key := range keys {
		if key == "" {
			continue
		}
		at, known, err := r.byKey(h.number, key)
		if err != nil {
			return nil, err
		}
		if !known || seen[at] {
			continue
		}
		e, err := r.entry(h.number, at)
		if err != nil {
			return nil, err
		}
		if string(e.key) != key {
			return nil, damaged("key %.40q leads to entry %s, which has another", key, at)
		}
		if e.at >= r.expired {
			found, seen[at] = append(found, e.entry(at)), true
		}
	}
	return found, nil
}
