package bolt

import (
	"encoding/binary"

	"github.com/safe-go/safe/replay"
)

// entryOverhead is what an entry counts towards MaxBytes besides its key, data
// and state: about what it takes in the file.
const entryOverhead = 128

// maxEntryBytes bounds the key, data and state of an entry, and the meta of a
// batch. bbolt handles a few values as one run of memory that must stay below
// 2 GiB.
const maxEntryBytes = 256 << 20

// entry is an entry in the file. Its slices are shared with the file, and with
// the payload it was decoded from.
type entry struct {
	// at is when it was appended, as in head.
	at               int64
	key, data, state []byte
}

func entrySize(key, data, state int) uint64 {
	return uint64(key) + uint64(data) + uint64(state) + entryOverhead
}

func (e *entry) size() uint64 { return entrySize(len(e.key), len(e.data), len(e.state)) }

// encodeEntry returns a payload with room for its checksum.
func encodeEntry(at int64, e *replay.Entry) []byte {
	size := len(e.Key) + len(e.Data) + len(e.State)
	payload := make([]byte, 0, 3*binary.MaxVarintLen64+size+checksumBytes)
	payload = binary.AppendUvarint(payload, uint64(at))
	payload = binary.AppendUvarint(payload, uint64(len(e.Key)))
	payload = binary.AppendUvarint(payload, uint64(len(e.Data)))
	payload = append(payload, e.Key...)
	payload = append(payload, e.Data...)
	return append(payload, e.State...)
}

func decodeEntry(payload []byte) (entry, error) {
	p := parser{rest: payload}
	at, keyBytes, dataBytes := p.number(), p.number(), p.number()
	e := entry{at: int64(at), key: p.bytes(keyBytes), data: p.bytes(dataBytes)}
	if p.bad {
		return entry{}, damaged("an entry is not encoded as this store does")
	}
	e.state = p.rest
	return e, nil
}

// entry returns a copy that shares nothing with the file.
func (e *entry) entry(at replay.Cursor) replay.Entry {
	copied := make([]byte, len(e.data)+len(e.state))
	n := copy(copied, e.data)
	copy(copied[n:], e.state)
	result := replay.Entry{Cursor: at, Key: string(e.key), Data: copied[:n:n]}
	if len(e.state) > 0 {
		result.State = copied[n:]
	}
	return result
}
