package bolt

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/safe-go/safe/replay"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumBytes is what seal appends.
const checksumBytes = 4

// checksum covers the key besides the payload: a value that turns up under
// another key, or in another bucket, is damage as well.
func (b bucket) checksum(key, payload []byte) uint32 {
	sum := crc32.Update(b.sum^uint32(len(key)), castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// seal makes a value of a payload, in place if there is room behind it.
func (b bucket) seal(key, payload []byte) []byte {
	return binary.LittleEndian.AppendUint32(payload, b.checksum(key, payload))
}

// unseal returns the payload of a value, which it shares.
func (b bucket) unseal(key, value []byte) ([]byte, error) {
	end := len(value) - checksumBytes
	if end < 0 || binary.LittleEndian.Uint32(value[end:]) != b.checksum(key, value[:end]) {
		return nil, damaged("the checksum of a value in %q is wrong: key %.40x", b.name, key)
	}
	return value[:end], nil
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
