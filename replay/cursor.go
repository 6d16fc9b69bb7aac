package replay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Cursor is a position in one history: the entry numbered Revision of the
// incarnation named Epoch. The zero Cursor is the position before any history.
//
// A cursor is written <epoch>-<revision>, two decimal numbers, which is also a
// legal Redis stream id. Clients must treat that text as opaque.
type Cursor struct {
	// Epoch names one incarnation of a history. A revision alone is ambiguous:
	// after a restart, or a removal and a creation, revision 5 exists again and is
	// another entry.
	Epoch uint64
	// Revision counts the entries of the epoch: 1, 2, 3, … without holes.
	// 0 is the position before the first entry.
	Revision uint64
}

// ErrBadCursor is the error of ParseCursor for a text that String never writes.
var ErrBadCursor = errors.New("not a cursor of the form <epoch>-<revision>")

// ParseCursor parses what String wrote. It accepts the canonical form only,
// without signs, leading zeros and spaces, so that two cursors are equal exactly
// if their texts are. Every error wraps ErrBadCursor.
func ParseCursor(text string) (Cursor, error) {
	epoch, revision, found := strings.Cut(text, "-")
	if !found {
		return Cursor{}, fmt.Errorf("%w: %.60q", ErrBadCursor, text)
	}
	e, errEpoch := parseCanonical(epoch)
	r, errRevision := parseCanonical(revision)
	if errEpoch != nil || errRevision != nil {
		return Cursor{}, fmt.Errorf("%w: %.60q", ErrBadCursor, text)
	}
	return Cursor{Epoch: e, Revision: r}, nil
}

func parseCanonical(digits string) (uint64, error) {
	if len(digits) > 1 && digits[0] == '0' {
		return 0, ErrBadCursor
	}
	return strconv.ParseUint(digits, 10, 64)
}

// String writes the cursor as <epoch>-<revision>.
func (c Cursor) String() string {
	var text [41]byte // two numbers of at most 20 digits
	return string(c.AppendTo(text[:0]))
}

// AppendTo appends what String returns to dst.
func (c Cursor) AppendTo(dst []byte) []byte {
	dst = strconv.AppendUint(dst, c.Epoch, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, c.Revision, 10)
}

// IsZero reports whether c is the position before any history.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Next returns the position of the entry that follows c in the same epoch.
func (c Cursor) Next() Cursor { return Cursor{Epoch: c.Epoch, Revision: c.Revision + 1} }

// After reports whether c is a later position than the other of the same id: of a
// later epoch, or further in the same one.
func (c Cursor) After(other Cursor) bool {
	return c.Epoch > other.Epoch || c.Epoch == other.Epoch && c.Revision > other.Revision
}

// MarshalText writes the cursor as String does.
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendTo(nil), nil }

// UnmarshalText parses the cursor as ParseCursor does.
func (c *Cursor) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCursor(string(text))
	return err
}

// epochRandomBits is the number of random bits of an epoch. They distinguish
// processes that start a history in the same millisecond.
const epochRandomBits = 20

// NewEpoch returns an epoch for a history that starts now, later than the epoch
// after. It consists of the time in milliseconds and of random bits, so that
// processes without a shared store, and one process before and after it is
// restarted, do not use the same epoch for two histories.
func NewEpoch(after uint64) uint64 {
	epoch := uint64(time.Now().UnixMilli())<<epochRandomBits | rand.Uint64N(1<<epochRandomBits)
	return max(epoch, after+1)
}
