package bolt

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/safe-go/safe/replay"
)

// maxIDBytes is the length of the longest id that fits into a key of bbolt.
const maxIDBytes = 32<<10 - 1

// idKey is the key of an id. The byte in front makes one of the empty id, too.
func idKey(id string) []byte { return append([]byte{'i'}, id...) }

func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// entryKeySize is the length of what entryKey returns.
const entryKeySize = 3 * 8

// entryKey sorts the entries of a history by epoch and revision.
func entryKey(number uint64, at replay.Cursor) []byte {
	key := make([]byte, 0, entryKeySize)
	key = binary.BigEndian.AppendUint64(key, number)
	key = binary.BigEndian.AppendUint64(key, at.Epoch)
	return binary.BigEndian.AppendUint64(key, at.Revision)
}

// parseEntryKey returns what entryKey was given.
func parseEntryKey(key []byte) (number uint64, at replay.Cursor, ok bool) {
	if len(key) != entryKeySize {
		return 0, replay.Cursor{}, false
	}
	return binary.BigEndian.Uint64(key), replay.Cursor{
		Epoch:    binary.BigEndian.Uint64(key[8:]),
		Revision: binary.BigEndian.Uint64(key[16:]),
	}, true
}

// keyHashBytes is how much of a key's hash is kept: enough to make
// two keys with the same hash impossible to find.
const keyHashBytes = 16

// keyKey is the key of an idempotency key, which may itself be of any length.
func keyKey(number uint64, key string) []byte {
	hash := sha256.Sum256([]byte(key))
	return append(numberKey(number), hash[:keyHashBytes]...)
}

func tombstoneTimeKey(at int64, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at)), number)
}
