package bolt

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/safe-go/safe/replay"
)

// trimPerAppend is how many entries more than it appends an append may delete.
// It bounds what an append costs where the bounds of a large file were lowered.
const trimPerAppend = 256

// trimmed is an entry that trim deletes.
type trimmed struct {
	at  replay.Cursor
	key string
}

// trim deletes up to limit of the oldest entries, as far as the bounds demand it
// and the entries are not later than the newest snapshot.
func (w *writer) trim(h *head, limit int) error {
	if h.afterSnapshot(h.first) || !w.exceeded(h) && w.expired == neverExpired {
		return nil
	}
	entries, err := w.takeOldest(h, limit)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := w.deleteEntry(h, &entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) exceeded(h *head) bool {
	return h.count > uint64(w.limits.maxEntries) || h.bytes > uint64(w.limits.maxBytes)
}

// takeOldest takes the oldest entries out of the head and returns them.
func (w *writer) takeOldest(h *head, limit int) (entries []trimmed, err error) {
	stopped := false
	err = w.scan(entriesBucket, entryKey(h.number, h.first), func(key, payload []byte) (bool, error) {
		number, at, ok := parseEntryKey(key)
		if !ok || number != h.number {
			return false, nil
		}
		e, err := decodeEntry(payload)
		if err != nil {
			return false, err
		}
		h.first = at
		if len(entries) == limit || h.afterSnapshot(at) || !w.exceeded(h) && e.at >= w.expired {
			stopped = true
			return false, nil
		}
		entries = append(entries, trimmed{at: at, key: string(e.key)})
		h.count--
		h.bytes -= min(h.bytes, e.size())
		return h.count > 0, nil
	})
	switch {
	case err != nil:
		return nil, err
	case h.count == 0:
		h.first = h.cursor.Next()
	case !stopped:
		return nil, inBucket(entriesBucket, damaged("a history of %d entries more has none", h.count))
	}
	return entries, nil
}

// deleteEntry deletes an entry, and its key unless a newer entry carries that
// too.
func (w *writer) deleteEntry(h *head, t *trimmed) error {
	if err := w.delete(entriesBucket, entryKey(h.number, t.at)); err != nil {
		return err
	}
	if t.key == "" {
		return nil
	}
	at, found, err := w.byKey(h.number, t.key)
	if err != nil || !found || at != t.at {
		return err
	}
	return w.delete(keysBucket, keyKey(h.number, t.key))
}

// deleteRemoved deletes up to limit entries, keys and parts of snapshots of removed
// histories. It reports whether it deleted something, and whether something is left.
func (w *writer) deleteRemoved(limit int) (deleted, more bool, err error) {
	for {
		var number []byte
		err := w.scan(removedBucket, numberKey(0), func(key, _ []byte) (bool, error) {
			number = bytes.Clone(key)
			return false, nil
		})
		if err != nil {
			return false, false, err
		}
		if number == nil {
			return deleted, false, nil
		}
		for _, b := range []*bucket{entriesBucket, keysBucket, snapshotsBucket} {
			n, err := w.deletePrefix(b, number, limit)
			if err != nil {
				return false, false, err
			}
			if limit -= n; limit <= 0 {
				return true, true, nil
			}
		}
		if err := w.delete(removedBucket, number); err != nil {
			return false, false, err
		}
		deleted = true
	}
}

// tombstoneAge is how long a tombstone is kept. Of those that were deleted, the
// latest position is known, which is the floor. It counts as the position of
// every id without a history and without a tombstone: so a later epoch than
// necessary may be demanded, but never one accepted that is too early.
const tombstoneAge = 30 * 24 * time.Hour

// tombstonesPerRemoval is how many tombstones a removal may delete: more than
// the one that it adds, so that they become fewer.
const tombstonesPerRemoval = 4

// tombstone returns the tombstone of an id's last history. Its number is zero
// if it is not known, and then its position is the floor.
func (c *content) tombstone(id string) (tombstone, error) {
	payload, found, err := c.get(tombstonesBucket, idKey(id))
	if err != nil {
		return tombstone{}, err
	}
	if found {
		return decodeTombstone(payload)
	}
	floor, err := c.floor()
	return tombstone{cursor: floor}, err
}

func (c *content) floor() (replay.Cursor, error) {
	p, err := c.format(floorKey)
	return p.cursor(), err
}

func (c *content) putTombstone(id string, t tombstone) error {
	if err := c.put(tombstonesBucket, idKey(id), t.encode()); err != nil {
		return err
	}
	return c.put(tombstoneTimesBucket, tombstoneTimeKey(t.at, t.number), []byte(id))
}

func (c *content) deleteTombstone(id string, t tombstone) error {
	if err := c.delete(tombstonesBucket, idKey(id)); err != nil {
		return err
	}
	return c.delete(tombstoneTimesBucket, tombstoneTimeKey(t.at, t.number))
}

// expireTombstones deletes the tombstones from before a time and raises the
// floor to them, a few at a time.
func (c *content) expireTombstones(before int64) error {
	type expired struct {
		id string
		tombstone
	}
	var all []expired
	err := c.scan(tombstoneTimesBucket, tombstoneTimeKey(0, 0), func(key, id []byte) (bool, error) {
		if len(key) != 2*8 {
			return false, inBucket(tombstoneTimesBucket, damaged("a key has %d bytes", len(key)))
		}
		e := expired{id: string(id)}
		e.at, e.number = int64(binary.BigEndian.Uint64(key)), binary.BigEndian.Uint64(key[8:])
		if e.at >= before || len(all) == tombstonesPerRemoval {
			return false, nil
		}
		all = append(all, e)
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := c.raiseFloor(e.id, e.number); err != nil {
			return err
		}
		if err := c.deleteTombstone(e.id, e.tombstone); err != nil {
			return err
		}
	}
	return nil
}

// raiseFloor makes the floor at least as late as the tombstone of an id.
func (c *content) raiseFloor(id string, number uint64) error {
	t, err := c.tombstone(id)
	if err != nil {
		return err
	}
	if t.number != number {
		return inBucket(tombstoneTimesBucket, damaged("the tombstones of %.60q differ", id))
	}
	floor, err := c.floor()
	if err != nil || t.cursor.Epoch <= floor.Epoch {
		return err
	}
	return c.put(formatBucket, []byte(floorKey), appendCursor(nil, t.cursor))
}

// latestEpoch returns the latest epoch that anything in the file is of.
func (r *reader) latestEpoch() (uint64, error) {
	floor, err := r.floor()
	latest := max(floor.Epoch, r.rolledBack)
	if err != nil {
		return 0, err
	}
	err = r.scan(headsBucket, idKey(""), func(_, payload []byte) (bool, error) {
		h, err := decodeHead(payload)
		if err != nil {
			return false, err
		}
		latest = max(latest, h.cursor.Epoch)
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	err = r.scan(tombstonesBucket, idKey(""), func(_, payload []byte) (bool, error) {
		t, err := decodeTombstone(payload)
		if err != nil {
			return false, err
		}
		latest = max(latest, t.cursor.Epoch)
		return true, nil
	})
	return latest, err
}
