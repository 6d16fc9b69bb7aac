package audit

import (
	"errors"
	"fmt"
)

// Errors of this package; errors.Is finds them. So are those of package sharedata:
// ErrBadRecord for a line that is not the canonical text of an entry, and
// ErrChainBroken for an entry that was changed or is not in its place.
var (
	// ErrTruncated: the end of an export is missing. Ask for the whole history.
	ErrTruncated = errors.New("truncated")
	// ErrRewritten: the history contradicts a checkpoint: an entry has another hash or no
	// longer exists. The checkpoint and the export together prove that.
	ErrRewritten = errors.New("rewritten")
	// ErrMissingStart: entries before the first one of an export are needed. Ask for the
	// older part of the history.
	ErrMissingStart = errors.New("the start is missing")
	// ErrBadCheckpoint: a checkpoint is malformed, misplaced or not signed by the service.
	ErrBadCheckpoint = errors.New("bad checkpoint")
	// ErrLineTooLong: a line is longer than the limit. Set a higher one if the exporter
	// is trusted not to exhaust the memory.
	ErrLineTooLong = errors.New("the line is too long")
	// ErrWrongShareData: the export is of another ShareData.
	ErrWrongShareData = errors.New("another ShareData")
)

// Error says which line of an export is wrong.
type Error struct {
	// Line is its number, from 1; the number of lines plus 1 for something missing at
	// the end.
	Line int
	// Err says what is wrong, and which entry.
	Err error
}

// Error names the line, the entry and the reason.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
