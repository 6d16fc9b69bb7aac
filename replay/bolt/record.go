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
	// snapshot is the revision of the newest snapshot.
	snapshot uint64
	// form says where the snapshot is. Only snapshotInParts is encoded.
	form snapshotForm
	// snapshotBytes and snapshotSum are its length and its checksum, for
	// snapshotInParts.
	snapshotBytes uint64
	snapshotSum   uint32
	// stateAt is the revision of the entry that has the state, for stateInEntry; 0
	// if no entry has changed the state.
	stateAt uint64
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

// afterSnapshot reports whether an entry is later than the newest snapshot. Such
// an entry is never trimmed, nor hidden by its age.
func (h *head) afterSnapshot(at replay.Cursor) bool {
	return at.Epoch == h.cursor.Epoch && at.Revision > h.snapshot
}

// encode returns a payload with room for its checksum. An epoch is longer than
// all the other numbers, so first is encoded by its difference.
func (h *head) encode() []byte {
	payload := make([]byte, 0, 10*binary.MaxVarintLen64+1+4+len(h.meta)+checksumBytes)
	payload = binary.AppendUvarint(payload, h.number)
	payload = appendCursor(payload, h.cursor)
	payload = binary.AppendUvarint(payload, h.cursor.Epoch-h.first.Epoch)
	payload = binary.AppendUvarint(payload, h.first.Revision)
	payload = binary.AppendUvarint(payload, h.count)
	payload = binary.AppendUvarint(payload, h.bytes)
	payload = binary.AppendUvarint(payload, uint64(h.at))
	payload = binary.AppendUvarint(payload, h.snapshot)
	payload = append(payload, byte(snapshotInParts))
	payload = binary.AppendUvarint(payload, h.snapshotBytes)
	payload = binary.LittleEndian.AppendUint32(payload, h.snapshotSum)
	return append(payload, h.meta...)
}

// decodeHead reads what encode wrote, or what it wrote in stateFormat. The meta is
// shared with the payload.
func decodeHead(payload []byte) (*head, error) {
	p := parser{rest: payload}
	h := &head{number: p.number(), cursor: p.cursor()}
	h.first = replay.Cursor{Epoch: h.cursor.Epoch - p.number(), Revision: p.number()}
	h.count, h.bytes = p.number(), p.number()
	h.at, h.snapshot = int64(p.number()), p.number()
	if form := p.bytes(1); !p.bad {
		h.form = snapshotForm(form[0])
	}
	switch h.form {
	case stateInEntry, stateInBucket: // no later entry has changed the state
		h.stateAt, h.snapshot = h.snapshot, h.cursor.Revision
	case snapshotInParts:
		h.snapshotBytes = p.number()
		if sum := p.bytes(4); !p.bad {
			h.snapshotSum = binary.LittleEndian.Uint32(sum)
		}
	default:
		p.bad = true
	}
	if p.bad || h.cursor.Revision == 0 || h.first.Epoch > h.cursor.Epoch ||
		max(h.snapshot, h.stateAt) > h.cursor.Revision || h.snapshotBytes > maxEntryBytes {
		return nil, inBucket(headsBucket, damaged("a head is not encoded as this store does"))
	}
	h.meta = p.rest
	return h, nil
}

// entryOverhead is what an entry counts towards MaxBytes besides its key and data:
// about what it takes in the file.
const entryOverhead = 128

// maxEntryBytes bounds the key and data of an entry, and the snapshot and the
// meta of a batch. bbolt handles a few values as one block of memory that must
// stay below 2 GiB.
const maxEntryBytes = 256 << 20

// entry is an entry in the file. Its slices are shared with the file, and with
// the payload it was decoded from.
type entry struct {
	// at is when it was appended, as in head.
	at        int64
	key, data []byte
	// state is what follows the data in stateFormat; empty in entries that were
	// written since.
	state []byte
}

func entrySize(key, data int) uint64 { return uint64(key) + uint64(data) + entryOverhead }

// size is what the entry counted in head.bytes when it was appended.
func (e *entry) size() uint64 { return entrySize(len(e.key), len(e.data)) + uint64(len(e.state)) }

// encodeEntry returns a payload with room for its checksum.
func encodeEntry(at int64, e *replay.Entry) []byte {
	payload := make([]byte, 0, 3*binary.MaxVarintLen64+len(e.Key)+len(e.Data)+checksumBytes)
	payload = binary.AppendUvarint(payload, uint64(at))
	payload = binary.AppendUvarint(payload, uint64(len(e.Key)))
	payload = binary.AppendUvarint(payload, uint64(len(e.Data)))
	payload = append(payload, e.Key...)
	return append(payload, e.Data...)
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
	return replay.Entry{Cursor: at, Key: string(e.key), Data: append(make([]byte, 0, len(e.data)), e.data...)}
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
