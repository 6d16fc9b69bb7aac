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
	// Epoch names one incarnation of a ShareData. A bare revision would lie:
	// after a restart or a remove-and-create, "5" exists again and means
	// something else.
	Epoch uint64
	// Revision counts the entries of the epoch: 1, 2, 3, … without holes.
	// 0 is the position before the first entry.
	Revision uint64
}

// ErrBadCursor is returned by ParseCursor for a text that no Cursor is written as.
var ErrBadCursor = errors.New("not a cursor of the form <epoch>-<revision>")

// ParseCursor reads what String wrote. It accepts the canonical form only, so
// that two cursors are equal exactly when their texts are: no signs, no
// leading zeros, no spaces. Every error is an ErrBadCursor.
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
func (c Cursor) String() string { return string(c.AppendTo(nil)) }

// AppendTo appends what String returns to dst.
func (c Cursor) AppendTo(dst []byte) []byte {
	dst = strconv.AppendUint(dst, c.Epoch, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, c.Revision, 10)
}

// IsZero reports whether c is the position before any history.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Next is the position of the entry that follows c in the same epoch.
func (c Cursor) Next() Cursor { return Cursor{Epoch: c.Epoch, Revision: c.Revision + 1} }

// MarshalText writes the cursor as String does.
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendTo(nil), nil }

// UnmarshalText reads the cursor as ParseCursor does.
func (c *Cursor) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCursor(string(text))
	return err
}

// epochRandomBits is the part of an epoch that tells two processes apart that
// start a history in the same millisecond.
const epochRandomBits = 20

// NewEpoch returns an epoch for a history that starts now and that is later
// than the epoch after. It is made of the time in milliseconds and of random
// bits: processes without a shared store, and one process before and after a
// restart, do not name two histories alike.
func NewEpoch(after uint64) uint64 {
	epoch := uint64(time.Now().UnixMilli())<<epochRandomBits | rand.Uint64N(1<<epochRandomBits)
	return max(epoch, after+1)
}
