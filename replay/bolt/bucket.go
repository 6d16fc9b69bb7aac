package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"github.com/safe-go/safe/replay"
)

// bucket is a bucket of the file. All are flat and shared by all histories, so
// that a history costs some bytes and not some pages.
type bucket struct {
	name []byte
	// sum is the checksum of the name, with which that of every value begins.
	sum uint32
}

// The buckets of the file. A history is known by its id in heads only.
// Everything else goes by its number, which no other history ever has, so that
// nothing of a removed history can come back under the same id.
var (
	// format: what this file is, and what is counted for all histories alike.
	formatBucket = bucketNamed("format")
	// heads: id -> head.
	headsBucket = bucketNamed("heads")
	// entries: number, epoch, revision -> entry.
	entriesBucket = bucketNamed("entries")
	// keys: number, hash of an idempotency key -> position of the newest entry
	// that carries it.
	keysBucket = bucketNamed("keys")
	// states: number -> the newest state, where its entry is not kept.
	statesBucket = bucketNamed("states")
	// ended: id -> where its removed history ended.
	endedBucket = bucketNamed("ended")
	// endings: time, number -> id. It is ended in the order of time.
	endingsBucket = bucketNamed("endings")
	// removed: number of a removed history that entries or keys are left of.
	removedBucket = bucketNamed("removed")
)

func buckets() []bucket {
	return []bucket{formatBucket, headsBucket, entriesBucket, keysBucket,
		statesBucket, endedBucket, endingsBucket, removedBucket}
}

func bucketNamed(name string) bucket {
	return bucket{name: []byte(name), sum: crc32.Checksum([]byte(name), castagnoli)}
}

// maxIDBytes is the length of the longest id that fits into a key of bbolt.
const maxIDBytes = 32<<10 - 1

// idKey is the key of an id. The byte in front makes one of the empty id, too.
func idKey(id string) []byte {
	return append([]byte{'i'}, id...)
}

func numberKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, number)
}

// entryKeySize is the length of what entryKey returns.
const entryKeySize = 3 * 8

// entryKey sorts the entries of a history by epoch and revision.
func entryKey(number uint64, at replay.Cursor) []byte {
	key := make([]byte, 0, entryKeySize)
	key = binary.BigEndian.AppendUint64(key, number)
	key = binary.BigEndian.AppendUint64(key, at.Epoch)
	return binary.BigEndian.AppendUint64(key, at.Revision)
}

// parseEntryKey takes a key of the right length apart.
func parseEntryKey(key []byte) (number uint64, at replay.Cursor) {
	return binary.BigEndian.Uint64(key), replay.Cursor{
		Epoch:    binary.BigEndian.Uint64(key[8:]),
		Revision: binary.BigEndian.Uint64(key[16:]),
	}
}

// keyHashBytes is how much of a key's hash is kept: enough that nobody finds
// two keys with the same.
const keyHashBytes = 16

// keyKey is the key of an idempotency key, which may itself be of any length.
func keyKey(number uint64, key string) []byte {
	hash := sha256.Sum256([]byte(key))
	return append(numberKey(number), hash[:keyHashBytes]...)
}

func endingKey(at int64, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at)), number)
}
