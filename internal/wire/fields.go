package wire

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on strings, in Unicode code points as JSON Schema counts them
// (draft 2020-12, Validation, section 6.3.1).
const (
	maxCorrelationID  = 1024
	maxIdempotencyKey = 256
	maxToken          = 16384
	// Of a client's frames only: a server may be another one, with ids of its own.
	maxID     = 1024
	maxCursor = 1024
	anyLength = -1
)

// value returns the raw value of a member as a slice of the frame, with its
// capacity cut so that appending to it copies. It is nil if the member is missing.
func (f *frame) value(m member) []byte {
	at := f.values[m]
	if at.end == 0 {
		return nil
	}
	return f.data[at.start:at.end:at.end]
}

func (f *frame) kind(m member) jsontext.Kind { return jsontext.Value(f.value(m)).Kind() }

func (f *frame) has(m member) bool { return f.values[m].end != 0 }

// require fails if a member is missing, and reports whether it is there.
func (f *frame) require(m member) bool {
	if !f.has(m) {
		f.fail(ErrField, m.pointer(), -1, "missing")
		return false
	}
	return true
}

// refuse fails because of the value of a member.
func (f *frame) refuse(m member, detail string) {
	f.fail(ErrField, m.pointer(), f.values[m].start, detail)
}

// checkedString returns a member, which is not missing, as a string of least to
// most code points.
func (f *frame) checkedString(m member, least, most int) string {
	if f.kind(m) != jsontext.KindString {
		f.refuse(m, "must be a string, not "+kindName(f.kind(m)))
		return ""
	}
	text := f.unquote(f.value(m))
	if least > 0 && len(text) == 0 {
		f.refuse(m, "must not be empty")
		return ""
	}
	if most != anyLength && len(text) > most && utf8.RuneCount(text) > most {
		f.refuse(m, fmt.Sprintf("must have at most %d characters", most))
		return ""
	}
	return string(text)
}

// name returns a required string that is not empty.
func (f *frame) name(m member) string {
	if !f.require(m) {
		return ""
	}
	return f.checkedString(m, 1, anyLength)
}

// id returns a required id of a client's frame. The server repeats ids in its
// replies, and keeps them while a request waits, so their length is bounded.
func (f *frame) id(m member) string {
	if !f.require(m) {
		return ""
	}
	return f.checkedString(m, 1, maxID)
}

// correlationID returns the required correlationId.
func (f *frame) correlationID() string {
	if !f.require(memberCorrelationID) {
		return ""
	}
	return f.checkedString(memberCorrelationID, 1, maxCorrelationID)
}

// text returns a required string, empty or not.
func (f *frame) text(m member) string {
	if !f.require(m) {
		return ""
	}
	return f.checkedString(m, 0, anyLength)
}

// optionalText returns a string, empty if the member is missing.
func (f *frame) optionalText(m member) string {
	if !f.has(m) {
		return ""
	}
	return f.checkedString(m, 0, anyLength)
}

// flag returns a required boolean.
func (f *frame) flag(m member) bool {
	return f.require(m) && f.optionalFlag(m)
}

// optionalFlag returns a boolean, false if the member is missing.
func (f *frame) optionalFlag(m member) bool {
	if !f.has(m) {
		return false
	}
	switch f.kind(m) {
	case jsontext.KindTrue:
		return true
	case jsontext.KindFalse:
		return false
	}
	f.refuse(m, "must be true or false, not "+kindName(f.kind(m)))
	return false
}

// optionalInteger returns an integer, 0 if the member is missing.
func (f *frame) optionalInteger(m member) uint64 {
	if !f.has(m) {
		return 0
	}
	if f.kind(m) != jsontext.KindNumber {
		f.refuse(m, "must be an integer, not "+kindName(f.kind(m)))
		return 0
	}
	value, ok := parseInteger(f.value(m))
	if !ok {
		f.refuse(m, fmt.Sprintf("must be an integer from 0 to %d", uint64(maxInteger)))
	}
	return value
}

// raw returns a required value verbatim.
func (f *frame) raw(m member) json.RawMessage {
	f.require(m)
	return f.optionalRaw(m)
}

// optionalRaw returns a value verbatim, nil if the member is missing.
func (f *frame) optionalRaw(m member) json.RawMessage { return f.value(m) }

// optionalArray returns an array verbatim, nil if the member is missing.
func (f *frame) optionalArray(m member) json.RawMessage {
	return f.optionalOf(m, jsontext.KindBeginArray)
}

// optionalObject returns an object verbatim, nil if the member is missing.
func (f *frame) optionalObject(m member) json.RawMessage {
	return f.optionalOf(m, jsontext.KindBeginObject)
}

func (f *frame) optionalOf(m member, kind jsontext.Kind) json.RawMessage {
	if f.has(m) && f.kind(m) != kind {
		f.refuse(m, "must be "+kindName(kind)+", not "+kindName(f.kind(m)))
	}
	return f.optionalRaw(m)
}

// stateHash returns the stateHash, empty if it is missing.
func (f *frame) stateHash() string {
	if !f.has(memberStateHash) {
		return ""
	}
	hash := f.checkedString(memberStateHash, 0, anyLength)
	if len(hash) != 2*sha256.Size || strings.Trim(hash, "0123456789abcdef") != "" {
		f.refuse(memberStateHash, "must be 64 lower-case hexadecimal digits")
	}
	return hash
}

// skipped returns the number of skipped entries, 0 if it is missing.
func (f *frame) skipped() uint64 {
	skipped := f.optionalInteger(memberSkipped)
	if f.has(memberSkipped) && skipped == 0 {
		f.refuse(memberSkipped, "must be at least 1")
	}
	return skipped
}

// replyCorrelationID returns the correlationId if it was read and is valid.
func (f *frame) replyCorrelationID() string {
	if !f.has(memberCorrelationID) || f.kind(memberCorrelationID) != jsontext.KindString {
		return ""
	}
	if text := f.unquote(f.value(memberCorrelationID)); utf8.RuneCount(text) <= maxCorrelationID {
		return string(text)
	}
	return ""
}
