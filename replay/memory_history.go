package replay

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

// maxMissed is the largest number of entries that a Memory puts into
// ConflictError.Missed. It bounds the cost of a refusal.
const maxMissed = 1000

// entryOverhead is what an entry counts towards MemoryOptions.MaxBytes besides
// its key and data. It is about the size of its slot in the ring and in
// the index of keys.
const entryOverhead = 128

// history is one id's part of a Memory. Methods that end in Locked require mu.
type history struct {
	limits *retention

	// mu guards everything below.
	mu   sync.Mutex
	head Cursor
	meta []byte
	// snapshot is the state after the entry with the revision snapshotAt.
	snapshot   []byte
	snapshotAt uint64
	// entries are the newest ones, without holes up to head.
	entries ring
	// bytes is the sum of their sizes.
	bytes int
	// keys has the newest kept entry of each key; nil while there is none.
	keys map[string]uint64
}

// kept is an entry and the time at which it was appended, from retention.now.
type kept struct {
	Entry
	at time.Duration
}

func (k *kept) size() int {
	return len(k.Key) + len(k.Data) + entryOverhead
}

func (h *history) headLocked() Head {
	return Head{
		Cursor: h.head, Oldest: h.oldestLocked(), Meta: h.meta,
		Snapshot: h.snapshot, SnapshotRevision: h.snapshotAt,
	}
}

func (h *history) oldestLocked() uint64 {
	return h.head.Revision + 1 - uint64(h.entries.len())
}

// commitLocked applies a valid batch that is in no conflict.
func (h *history) commitLocked(batch Batch) {
	if batch.Starts() {
		h.entries, h.bytes, h.keys = ring{}, 0, nil
	}
	if len(batch.Snapshot) > 0 {
		h.snapshot, h.snapshotAt = batch.Snapshot, batch.Last().Revision
	}
	now := h.limits.now()
	for _, entry := range batch.Entries {
		h.head = entry.Cursor
		h.pushLocked(kept{Entry: entry, at: now})
	}
	h.meta = batch.Meta
	h.expireLocked()
}

// pushLocked adds an entry and trims what exceeds the bounds then. It trims
// after each entry, so that a long batch with a snapshot never needs more memory
// than is kept.
func (h *history) pushLocked(entry kept) {
	if entry.Key != "" {
		if h.keys == nil {
			h.keys = make(map[string]uint64)
		}
		h.keys[entry.Key] = entry.Cursor.Revision
	}
	h.entries.push(entry)
	h.bytes += entry.size()
	for h.mayTrimLocked() && (h.entries.len() > h.limits.MaxEntries || h.bytes > h.limits.MaxBytes) {
		h.trimLocked()
	}
}

// mayTrimLocked reports whether there is an oldest entry that is not needed to
// compute the newest state from the snapshot.
func (h *history) mayTrimLocked() bool {
	return h.entries.len() > 0 && h.entries.at(0).Cursor.Revision <= h.snapshotAt
}

// expireLocked trims the entries that are older than MaxAge.
func (h *history) expireLocked() {
	if h.limits.MaxAge == 0 {
		return
	}
	now := h.limits.now()
	for h.mayTrimLocked() && now-h.entries.at(0).at > h.limits.MaxAge {
		h.trimLocked()
	}
}

// trimLocked drops the oldest entry, and its key unless a newer entry has the
// same one.
func (h *history) trimLocked() {
	entry := h.entries.pop()
	h.bytes -= entry.size()
	if h.keys[entry.Key] == entry.Cursor.Revision {
		delete(h.keys, entry.Key)
	}
	if len(h.keys) == 0 {
		h.keys = nil // a map never releases the memory that it grew to
	}
}

// afterLocked returns up to limit entries that follow the revision, which is
// at least the one before the oldest.
func (h *history) afterLocked(revision uint64, limit int) []Entry {
	first := int(revision + 1 - h.oldestLocked())
	n := min(h.entries.len()-first, limit)
	if n <= 0 {
		return nil
	}
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = h.entries.at(first + i).Entry
	}
	return entries
}

// findLocked returns the newest entry of each of the keys.
func (h *history) findLocked(keys []string) []Entry {
	var revisions []uint64
	for _, key := range keys {
		if revision, found := h.keys[key]; found {
			revisions = append(revisions, revision)
		}
	}
	if revisions == nil {
		return nil
	}
	slices.Sort(revisions)
	revisions = slices.Compact(revisions) // keys may repeat
	entries := make([]Entry, len(revisions))
	for i, revision := range revisions {
		entries[i] = h.entries.at(int(revision - h.oldestLocked())).Entry
	}
	return entries
}

// conflictLocked returns why a valid batch cannot be appended; nil if it can.
func (h *history) conflictLocked(id string, batch Batch) *ConflictError {
	switch {
	case batch.Expect != h.head:
		return &ConflictError{ID: id, Expected: batch.Expect, Head: h.head, Reason: ConflictMoved, Missed: h.missedLocked(batch.Expect)}
	case batch.ExpectMeta != nil && !bytes.Equal(batch.ExpectMeta, h.meta):
		return &ConflictError{ID: id, Expected: batch.Expect, Head: h.head, Reason: ConflictReplaced}
	case batch.NewKeys && len(h.keys) > 0:
		if known := h.knownLocked(batch.Entries); known != nil {
			return &ConflictError{ID: id, Expected: batch.Expect, Head: h.head, Reason: ConflictKnownKeys, Known: known}
		}
	}
	return nil
}

// missedLocked returns what followed the cursor, or nil if that is not kept or is
// more than maxMissed entries.
func (h *history) missedLocked(after Cursor) []Entry {
	if h.headLocked().Check("", after) != nil || h.head.Revision-after.Revision > maxMissed {
		return nil
	}
	return h.afterLocked(after.Revision, maxMissed)
}

// knownLocked returns what Find finds by the keys of a batch's entries.
func (h *history) knownLocked(entries []Entry) []Entry {
	var keys []string
	for i := range entries {
		if _, known := h.keys[entries[i].Key]; known {
			keys = append(keys, entries[i].Key)
		}
	}
	return h.findLocked(keys)
}
