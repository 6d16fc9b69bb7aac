package bolt

import (
	"encoding/binary"
	"errors"

	"github.com/safe-go/safe/replay"
)

// The keys of the format bucket.
const (
	// nameKey has formatName, which files of other programs do not have.
	nameKey = "name"
	// versionKey has the version of the format.
	versionKey = "version"
	// nextKey has the number of the next history.
	nextKey = "next"
	// floorKey has the latest position of a tombstone that was deleted.
	floorKey = "floor"
	// rollbackKey has the epoch of the last rollback. It may be missing.
	rollbackKey = "rollback"
)

const (
	formatName    = "github.com/safe-go/safe/replay/bolt"
	formatVersion = 3
	// stateFormat is the version that had a state behind the data of each entry
	// that changed it, and no snapshots. Open writes formatVersion over it, which
	// is all that a file needs to be one of this version: the two forms of heads
	// are distinguished by their encoding. See snapshotForm.
	stateFormat = 2
)

// create makes an empty file a store without histories.
func (c *content) create() error {
	for _, b := range buckets {
		if _, err := c.tx.CreateBucket(b.name); err != nil {
			return err
		}
		if b == formatBucket {
			continue
		}
		if err := errors.Join(c.put(b, b.firstKey(), nil), c.put(b, lastKey, nil)); err != nil {
			return err
		}
	}
	for key, payload := range map[string][]byte{
		nameKey:    []byte(formatName),
		versionKey: binary.AppendUvarint(nil, formatVersion),
		nextKey:    binary.AppendUvarint(nil, 1),
		floorKey:   appendCursor(nil, replay.Cursor{}),
	} {
		if err := c.put(formatBucket, []byte(key), payload); err != nil {
			return err
		}
	}
	return nil
}

// format returns the payload of a key of the format bucket.
func (c *content) format(key string) (parser, error) {
	payload, found, err := c.get(formatBucket, []byte(key))
	if err == nil && !found {
		err = inBucket(formatBucket, damaged("%q is missing", key))
	}
	return parser{rest: payload}, err
}

// putVersion makes the file one of formatVersion.
func (c *content) putVersion() error {
	return c.put(formatBucket, []byte(versionKey), binary.AppendUvarint(nil, formatVersion))
}

// newNumber returns a number that no history has had.
func (c *content) newNumber() (uint64, error) {
	p, err := c.format(nextKey)
	if err != nil {
		return 0, err
	}
	number := p.number()
	return number, c.put(formatBucket, []byte(nextKey), binary.AppendUvarint(nil, number+1))
}

// rollback returns the epoch of the last rollback; 0 if there was none.
// Histories of this epoch and earlier ones may have lost acknowledged entries.
func (c *content) rollback() (uint64, error) {
	payload, found, err := c.get(formatBucket, []byte(rollbackKey))
	if err != nil || !found {
		return 0, err
	}
	p := parser{rest: payload}
	return p.number(), nil
}
