package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/safe-go/safe/replay"
)

// snapshotForm is the byte of a head that says where the newest snapshot is.
//
// A head with one of the first two was written in stateFormat, where the newest
// state is the one after the newest entry: it is a snapshot at the head's
// position. The next append to the history makes it snapshotInParts. States
// behind the data of other entries are ignored; they go with their entries.
type snapshotForm byte

const (
	// stateInEntry: behind the data of the entry that has changed the state last.
	stateInEntry snapshotForm = iota
	// stateInBucket: one value of the snapshots bucket, because its entry was
	// trimmed.
	stateInBucket
	// snapshotInParts: in parts in the snapshots bucket.
	snapshotInParts
)

// snapshotPartBytes is the length of all parts of a snapshot but the last one. Two
// fit into a page of 4 KiB. A longer value would need free pages that are
// consecutive, for which the file grows, and bbolt keeps up to four values on such
// pages, so that histories would rewrite each other's snapshots.
const snapshotPartBytes = 2000

// partKey sorts the parts of a snapshot. The key of a stateInBucket is its
// beginning.
func partKey(number uint64, part int) []byte {
	return binary.BigEndian.AppendUint32(numberKey(number), uint32(part))
}

// snapshotSum is the head.snapshotSum of a snapshot. A part is not rewritten where
// the snapshot before had the same, so parts have no position of their own. The
// sum shows that all of them are those of the head, also where the disk has lost
// one of the writes of a commit.
func snapshotSum(snapshot []byte) uint32 { return crc32.Checksum(snapshot, castagnoli) }

// snapshot returns the newest snapshot of a history, copied; nil if it is empty,
// which it is where no entry of stateFormat has changed the state.
func (r *reader) snapshot(h *head) ([]byte, error) {
	switch h.form {
	case stateInEntry:
		if h.stateAt == 0 {
			return nil, nil
		}
		e, err := r.entry(h.number, replay.Cursor{Epoch: h.cursor.Epoch, Revision: h.stateAt})
		return clone(e.state), err
	case stateInBucket:
		state, found, err := r.get(snapshotsBucket, numberKey(h.number))
		if err == nil && !found {
			err = inBucket(snapshotsBucket, damaged("the state of a history is missing"))
		}
		return clone(state), err
	}
	if h.snapshotBytes == 0 {
		return nil, nil
	}
	snapshot, part := make([]byte, 0, h.snapshotBytes), 0
	err := r.scan(snapshotsBucket, partKey(h.number, 0), func(key, payload []byte) (bool, error) {
		if !bytes.Equal(key, partKey(h.number, part)) {
			return false, nil
		}
		snapshot = append(snapshot, payload...)
		part++
		return uint64(len(snapshot)) < h.snapshotBytes, nil
	})
	if err == nil && (uint64(len(snapshot)) != h.snapshotBytes || snapshotSum(snapshot) != h.snapshotSum) {
		err = inBucket(snapshotsBucket, damaged("the snapshot of a history is not the one of revision %d", h.snapshot))
	}
	if err != nil {
		return nil, err
	}
	return snapshot, nil
}

// updateSnapshot makes the snapshot of a batch the newest one, before its entries
// are added. A batch without one leaves the newest one as it is.
func (w *writer) updateSnapshot(h *head, batch *replay.Batch) error {
	switch {
	case len(batch.Snapshot) > 0:
		return w.putSnapshot(h, batch.Last().Revision, batch.Snapshot)
	case h.form == snapshotInParts:
		return nil
	}
	state, err := w.snapshot(h)
	if err != nil {
		return err
	}
	return w.putSnapshot(h, h.snapshot, state)
}

// putSnapshot writes what differs from the snapshot before, and deletes what is
// left of that.
func (w *writer) putSnapshot(h *head, revision uint64, snapshot []byte) error {
	parts := 0
	for part := range slices.Chunk(snapshot, snapshotPartBytes) {
		if err := w.putPart(partKey(h.number, parts), part); err != nil {
			return err
		}
		parts++
	}
	for before := snapshotParts(h.snapshotBytes); parts < before; parts++ {
		if err := w.delete(snapshotsBucket, partKey(h.number, parts)); err != nil {
			return err
		}
	}
	if h.form == stateInBucket {
		if err := w.delete(snapshotsBucket, numberKey(h.number)); err != nil {
			return err
		}
	}
	h.snapshot, h.form, h.stateAt = revision, snapshotInParts, 0
	h.snapshotBytes, h.snapshotSum = uint64(len(snapshot)), snapshotSum(snapshot)
	return nil
}

func (w *writer) putPart(key, part []byte) error {
	before, found, err := w.get(snapshotsBucket, key)
	if err != nil || found && bytes.Equal(before, part) {
		return err
	}
	payload := make([]byte, 0, len(part)+checksumBytes)
	return w.put(snapshotsBucket, key, append(payload, part...))
}

// snapshotParts is how many parts a snapshot has.
func snapshotParts(bytes uint64) int {
	return int((bytes + snapshotPartBytes - 1) / snapshotPartBytes)
}
