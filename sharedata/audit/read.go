package audit

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// defaultMaxLineBytes has room for proposed data of more than 2 MiB, even if every
// character of it has to be escaped.
const defaultMaxLineBytes = 16 << 20

// ReadOptions configures ReadEntries. Nil or the zero value is good.
type ReadOptions struct {
	// MaxLineBytes is the length of the longest line that is accepted, in bytes. A
	// line as long as that takes a few times as much memory on each core. Default:
	// 16 MiB; -1: no limit.
	MaxLineBytes int
}

func (o *ReadOptions) maxLineBytes() (int, error) {
	var limit int
	if o != nil {
		limit = o.MaxLineBytes
	}
	err := option.Fill("audit: MaxLineBytes", &limit, defaultMaxLineBytes, math.MaxInt)
	return limit, err
}

// ReadEntries reads the entries of an export, for example for sharedata.Verify. Each
// line must be the canonical text of an entry, with the hash of its contents, and end
// with a line feed, the last one too. Blank lines, carriage returns, a byte order mark
// and white space around a line are refused. Checkpoints are skipped: Verify checks
// them.
//
// The first error ends the sequence. It is an *Error, in which errors.Is finds
// sharedata.ErrBadRecord, sharedata.ErrChainBroken for an entry whose hash is wrong,
// ErrTruncated for a last line without line feed, ErrLineTooLong, ErrBadCheckpoint, or
// the error of the reader.
//
// It reads ahead, and parses on all cores. Memory is bounded by MaxLineBytes. When the
// loop over the entries ends, no goroutine is left.
func ReadEntries(r io.Reader, options *ReadOptions) iter.Seq2[sharedata.Entry, error] {
	return func(yield func(sharedata.Entry, error) bool) {
		maxLine, err := options.maxLineBytes()
		if err != nil {
			yield(sharedata.Entry{}, err)
			return
		}
		var last replay.Cursor
		for l := range parseLines(r, maxLine) {
			switch {
			case l.err != nil:
				yield(sharedata.Entry{}, lineError(l, last))
			case l.checkpoint != "":
			case !yield(l.entry, nil):
				return
			default:
				last = l.entry.Cursor
			}
		}
	}
}

// lineError returns the error of a line. Where the entry in the line is not known, it
// names the one before.
func lineError(l *line, last replay.Cursor) *Error {
	err := l.err
	if !errors.Is(err, sharedata.ErrChainBroken) && !last.IsZero() {
		err = fmt.Errorf("after the entry at %s: %w", last, err)
	}
	return &Error{Line: l.number, Err: err}
}
