package wire

import (
	"errors"
	"strconv"
	"strings"
)

// Reasons for which a frame is refused. A [DecodeError] wraps exactly one.
var (
	// ErrTooLarge: more bytes than Limits.MaxBytes.
	ErrTooLarge = errors.New("frame too large")
	// ErrTooDeep: objects and arrays nested deeper than Limits.MaxDepth.
	ErrTooDeep = errors.New("nested too deeply")
	// ErrSyntax: not JSON.
	ErrSyntax = errors.New("not JSON")
	// ErrUTF8: bytes that are not UTF-8, or an escaped surrogate without its
	// other half.
	ErrUTF8 = errors.New("not Unicode")
	// ErrDuplicate: an object that has two members of one name.
	ErrDuplicate = errors.New("duplicate member")
	// ErrTrailing: something other than white space after the frame.
	ErrTrailing = errors.New("bytes after the frame")
	// ErrNotObject: JSON, but not an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrVersion: the member "v" is missing or is not 1.
	ErrVersion = errors.New("unsupported version")
	// ErrType: the member "type" is missing, or names no frame that goes in
	// this direction.
	ErrType = errors.New("unknown type")
	// ErrField: a member of the frame is missing, has the wrong JSON type, or
	// a value that is not allowed.
	ErrField = errors.New("invalid field")
)

// DecodeError says why a frame was refused.
type DecodeError struct {
	// Reason is one of the sentinels of this package; errors.Is finds it.
	Reason error
	// Pointer is the JSON Pointer (RFC 6901) to the place; "" is the frame as
	// a whole. A place with a pointer of more than 128 bytes is given by its
	// nearest ancestor with a shorter one.
	Pointer string
	// Offset is the byte at which the trouble starts, or -1 where there is no
	// such byte: something is missing.
	Offset int
	// Detail says what is wrong, in words; it may be empty.
	Detail string
	// CorrelationID is the frame's own, where a valid one was read before the
	// trouble began; an answer that carries it reaches whoever waits for it.
	CorrelationID string
}

// Error is one line that names the reason, the place and what is wrong there.
// Its length is bounded whatever the frame holds.
func (e *DecodeError) Error() string {
	b := []byte(e.Reason.Error())
	if e.Pointer != "" {
		b = append(append(b, " at "...), printable(e.Pointer)...)
	}
	if e.Detail != "" {
		b = append(append(b, ": "...), e.Detail...)
	}
	if e.Offset >= 0 {
		b = append(strconv.AppendInt(append(b, " (byte "...), int64(e.Offset), 10), ')')
	}
	return string(b)
}

// Unwrap returns the reason.
func (e *DecodeError) Unwrap() error { return e.Reason }

// nearest returns the longest ancestor of a JSON Pointer that has at most 128
// bytes, so that a frame does not decide how long a message about it gets.
func nearest(pointer string) string {
	for len(pointer) > 128 {
		pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	}
	return pointer
}

// printable quotes a pointer that would not print as one plain word.
func printable(pointer string) string {
	for _, r := range pointer {
		if r == ' ' || !strconv.IsPrint(r) {
			return strconv.Quote(pointer)
		}
	}
	return pointer
}

// abbreviated quotes a value for an error message, in few bytes.
func abbreviated(value string) string {
	const most = 64
	if len(value) > most {
		return strconv.Quote(strings.ToValidUTF8(value[:most], "")) + "..."
	}
	return strconv.Quote(value)
}
