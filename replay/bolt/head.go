package bolt

import (
	"encoding/binary"

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
	// never goes back in a history, whatever the clock does.
	at int64
	// state is the revision of the entry that has the newest state; 0 if there
	// is none.
	state uint64
	// apart says that this entry is no longer kept, and its state is in states.
	apart bool
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
// all the rest of what is counted, so first has only what it differs by.
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
	apart := byte(0)
	if h.apart {
		apart = 1
	}
	payload = append(payload, apart)
	return append(payload, h.meta...)
}

// decodeHead reads what encode wrote. The meta is shared with the payload.
func decodeHead(payload []byte) (*head, error) {
	p := parser{rest: payload}
	h := &head{number: p.number(), cursor: p.cursor()}
	h.first = replay.Cursor{Epoch: h.cursor.Epoch - p.number(), Revision: p.number()}
	h.count, h.bytes = p.number(), p.number()
	h.at, h.state = int64(p.number()), p.number()
	apart := p.bytes(1)
	if p.bad || h.cursor.Revision == 0 || h.first.Epoch > h.cursor.Epoch || h.state > h.cursor.Revision {
		return nil, damaged("a head is not encoded as this store does")
	}
	h.apart, h.meta = apart[0] != 0, p.rest
	return h, nil
}
