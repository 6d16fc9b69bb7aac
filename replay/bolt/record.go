package bolt

import (
	"encoding/binary"
	"math"

	"github.com/safe-go/safe/replay"
)

// head is what the file knows of a history apart from its entries.
type head struct {
	// number names the history inside the file.
	number uint64
	// cursor is the position of the newest entry.
	cursor replay.Cursor
	// first is the position of the oldest entry in the file, which may be of an
	// earlier epoch; the one after cursor if there is none.
	first replay.Cursor
	// count and bytes are what MaxEntries and MaxBytes bound.
	count, bytes uint64
	// at is when the newest entry was appended, in milliseconds since 1970. It
	// never decreases in a history, whatever the clock does.
	at int64
	// state is the revision of the entry that has the newest state; 0 if there
	// is none.
	state uint64
	// separate says that this entry is no longer kept, and its state is in the
	// states bucket.
	separate bool
	// meta is what the newest batch carried.
	meta []byte
}

// oldest is the revision of the oldest entry of the epoch in the file.
func (h *head) oldest() uint64 {
	if h.first.Epoch < h.cursor.Epoch {
		return 1
	}
	return h.first.Revision
}

// encode returns a payload with room for its checksum. An epoch is longer than
// all the other numbers, so first is encoded by its difference.
func (h *head) encode() []byte {
	payload := make([]byte, 0, 9*binary.MaxVarintLen64+1+len(h.meta)+checksumBytes)
	payload = binary.AppendUvarint(payload, h.number)
	payload = appendCursor(payload, h.cursor)
	payload = binary.AppendUvarint(payload, h.cursor.Epoch-h.first.Epoch)
	payload = binary.AppendUvarint(payload, h.first.Revision)
	payload = binary.AppendUvarint(payload, h.count)
	payload = binary.AppendUvarint(payload, h.bytes)
	payload = binary.AppendUvarint(payload, uint64(h.at))
	payload = binary.AppendUvarint(payload, h.state)
	separate := byte(0)
	if h.separate {
		separate = 1
	}
	payload = append(payload, separate)
	return append(payload, h.meta...)
}

// decodeHead reads what encode wrote. The meta is shared with the payload.
func decodeHead(payload []byte) (*head, error) {
	p := parser{rest: payload}
	h := &head{number: p.number(), cursor: p.cursor()}
	h.first = replay.Cursor{Epoch: h.cursor.Epoch - p.number(), Revision: p.number()}
	h.count, h.bytes = p.number(), p.number()
	h.at, h.state = int64(p.number()), p.number()
	separate := p.bytes(1)
	if p.bad || h.cursor.Revision == 0 || h.first.Epoch > h.cursor.Epoch || h.state > h.cursor.Revision {
		return nil, inBucket(headsBucket, damaged("a head is not encoded as this store does"))
	}
	h.separate, h.meta = separate[0] != 0, p.rest
	return h, nil
}

// entryOverhead is what an entry counts towards MaxBytes besides its key, data
// and state: about what it takes in the file.
const entryOverhead = 128

// maxEntryBytes bounds the key, data and state of an entry, and the meta of a
// batch. bbolt handles a few values as one block of memory that must stay below
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
		return entry{}, inBucket(entriesBucket, damaged("an entry is not encoded as this store does"))
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

// tombstone is what is known of a removed history.
type tombstone struct {
	// cursor is the position of its last entry.
	cursor replay.Cursor
	// at is when it was removed, in milliseconds since 1970.
	at int64
	// number is the history's.
	number uint64
}

func (t *tombstone) encode() []byte {
	payload := appendCursor(nil, t.cursor)
	payload = binary.AppendUvarint(payload, uint64(t.at))
	return binary.AppendUvarint(payload, t.number)
}

func decodeTombstone(payload []byte) (tombstone, error) {
	p := parser{rest: payload}
	t := tombstone{cursor: p.cursor()}
	at := p.number()
	t.at, t.number = int64(at), p.number()
	if p.bad || len(p.rest) > 0 || at > math.MaxInt64 {
		return tombstone{}, inBucket(tombstonesBucket, damaged("a tombstone is not encoded as this store does"))
	}
	return t, nil
}

// parser takes a payload apart. Once something is missing, everything is zero.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) number() uint64 {
	value, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.rest, p.bad = nil, true
		return 0
	}
	p.rest = p.rest[n:]
	return value
}

func (p *parser) cursor() replay.Cursor {
	return replay.Cursor{Epoch: p.number(), Revision: p.number()}
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.rest, p.bad = nil, true
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func appendCursor(dst []byte, c replay.Cursor) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, c.Epoch), c.Revision)
}
