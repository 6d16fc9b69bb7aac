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
	// ErrVersion: the member "v" is missing or not 1.
	ErrVersion = errors.New("unsupported version")
	// ErrType: the member "type" is missing, or names no frame of this direction.
	ErrType = errors.New("unknown type")
	// ErrField: a member of the frame is missing, has the wrong JSON type, or
	// a value that is not allowed.
	ErrField = errors.New("invalid field")
)

// DecodeError says why a frame was refused.
type DecodeError struct {
	// Reason is one of the sentinels of this package; errors.Is finds it.
	Reason error
	// Pointer is the JSON Pointer (RFC 6901) to the wrong value; "" is the whole
	// frame. If it is longer than 128 bytes, it is the pointer to the nearest
	// ancestor with a shorter one.
	Pointer string
	// Offset is the offset of the first wrong byte, or -1 if a member is missing.
	Offset int
	// Detail says what is wrong, in words; it may be empty.
	Detail string
	// CorrelationID is the frame's correlationId, if a valid one was read before
	// the wrong byte, so that the reply reaches the request.
	CorrelationID string
}

// Error is one line with the reason, the place and what is wrong there. Its
// length is bounded.
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
// bytes, so that the length of an error message is bounded.
func nearest(pointer string) string {
	for len(pointer) > 128 {
		pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	}
	return pointer
}

// printable quotes a pointer that has a space or does not print.
func printable(pointer string) string {
	for _, r := range pointer {
		if r == ' ' || !strconv.IsPrint(r) {
			return strconv.Quote(pointer)
		}
	}
	return pointer
}

// abbreviated quotes at most 64 bytes of a value for an error message.
func abbreviated(value string) string {
	const most = 64
	if len(value) > most {
		return strconv.Quote(strings.ToValidUTF8(value[:most], "")) + "..."
	}
	return strconv.Quote(value)
}
