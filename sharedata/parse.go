package sharedata

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// hashSuffixLength is the length in bytes of the end of a record, which is not
// hashed: ,"hash":"…"}
const hashSuffixLength = len(`,"hash":""}`) + 2*sha256.Size

// ParseEntry decodes the canonical text of an entry: exactly the bytes that
// MarshalJSON writes, and no other JSON text of the same meaning. It fails with
// ErrBadRecord for any other text, and with a *ChainError if the hash in the text
// is not that of the contents. The entry shares no memory with the text.
func ParseEntry(text []byte) (Entry, error) {
	e, err := decodeRecord(text)
	if err != nil {
		return Entry{}, err
	}
	if canonical := appendRecord(make([]byte, 0, len(text)), &e); !bytes.Equal(text, canonical) {
		return Entry{}, fmt.Errorf("%w: the text of the entry at %s is not canonical: %s", ErrBadRecord, e.Cursor, difference(text, canonical))
	}
	if e.Hash != sha256.Sum256(text[:len(text)-hashSuffixLength]) {
		return Entry{}, hashMismatch(e)
	}
	return e, nil
}

// difference says where two texts begin to differ.
func difference(got, want []byte) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("at byte %d it has %.30q instead of %.30q", at+1, excerpt(got[at:]), excerpt(want[at:]))
}

// excerpt returns the beginning of a text.
func excerpt(text []byte) []byte { return text[:min(len(text), 30)] }
