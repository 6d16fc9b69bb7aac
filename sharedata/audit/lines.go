package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/sharedata"
)

// chunkBytes is how much of an export is parsed by one goroutine at a time.
const chunkBytes = 128 << 10

// line is one line of an export: an entry, a checkpoint or, as the last one, an
// error.
type line struct {
	number     int
	entry      sharedata.Entry
	checkpoint string // the JWS, not verified; empty for an entry
	err        error
}

// chunk is a part of an export that consists of whole lines.
type chunk struct {
	first  int // the number of its first line
	text   []byte
	err    error // what follows the text; nil if more lines do
	lines  []line
	parsed chan struct{} // closed when lines are there
}

// parseLines parses the lines of an export, on all cores, and yields them in their
// order. It ends with the first line that has an error. Lines that it yielded must not
// be used after the next one was asked for.
//
// The caller's goroutine reads, so no goroutine stays blocked in Read when the caller
// stops. The parsers end by themselves, and parseLines waits for them.
func parseLines(r io.Reader, maxLine int) iter.Seq[*line] {
	return func(yield func(*line) bool) {
		var parsers sync.WaitGroup
		defer parsers.Wait()
		input := splitter{reader: r, maxLine: maxLine, number: 1}
		var parsing []*chunk // oldest first
		for {
			for !input.ended && len(parsing) <= runtime.GOMAXPROCS(0) {
				c := input.next()
				parsing = append(parsing, c)
				parsers.Go(func() { c.parse(maxLine) })
			}
			if len(parsing) == 0 {
				return
			}
			c := parsing[0]
			parsing = parsing[1:]
			<-c.parsed
			for i := range c.lines {
				if !yield(&c.lines[i]) || c.lines[i].err != nil {
					return
				}
			}
			input.free = append(input.free, c)
		}
	}
}

// splitter cuts what it reads into chunks.
type splitter struct {
	reader  io.Reader
	maxLine int
	number  int    // of the next line
	rest    []byte // the beginning of the next line
	ended   bool
	free    []*chunk // to be used again
}

// next returns the next chunk. The last one has an error, unless the export ends
// with a whole line.
func (s *splitter) next() *chunk {
	c := &chunk{text: make([]byte, 0, chunkBytes)}
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	}
	c.first, c.parsed = s.number, make(chan struct{})
	text := append(c.text[:0], s.rest...)
	end := 0
	for end == 0 && !s.ended {
		if len(text) == cap(text) {
			text = append(text, make([]byte, len(text))...)[:len(text)] // twice as long
		}
		n, err := io.ReadFull(s.reader, text[len(text):cap(text)])
		before := len(text)
		text = text[:before+n]
		if i := bytes.LastIndexByte(text[before:], '\n'); i >= 0 {
			end = before + i + 1
		}
		switch {
		case err != nil:
			s.ended = true
			c.err = endError(err, len(text)-end)
		case end == 0 && len(text) > s.maxLine:
			s.ended = true
			c.err = tooLong(s.maxLine)
		}
	}
	c.text, s.rest = text[:end], append(s.rest[:0], text[end:]...)
	s.number += bytes.Count(c.text, []byte("\n"))
	return c
}

// endError returns what is wrong with the end of an export, of whose last line rest
// bytes were read.
func endError(err error, rest int) error {
	switch {
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return fmt.Errorf("read failed: %w", err)
	case rest > 0:
		return fmt.Errorf("%w: the export ends within this line, which has no line feed at its end", ErrTruncated)
	}
	return nil
}

func tooLong(maxLine int) error {
	return fmt.Errorf("%w: at most %d bytes are accepted; see MaxLineBytes", ErrLineTooLong, maxLine)
}

// parse parses the lines of the chunk up to the first error.
func (c *chunk) parse(maxLine int) {
	defer close(c.parsed)
	c.lines = c.lines[:0]
	number := c.first
	for text := range bytes.Lines(c.text) {
		c.lines = append(c.lines, line{number: number})
		if c.lines[len(c.lines)-1].parse(text[:len(text)-1], maxLine); c.lines[len(c.lines)-1].err != nil {
			return
		}
		number++
	}
	if c.err != nil {
		c.lines = append(c.lines, line{number: number, err: c.err})
	}
}

// A checkpoint stands in a line of its own between these two texts.
const (
	checkpointPrefix = `{"checkpoint":"`
	checkpointSuffix = `"}`
)

// parse parses the text of the line, without the line feed.
func (l *line) parse(text []byte, maxLine int) {
	if len(text) > maxLine {
		l.err = tooLong(maxLine)
	} else if jws, ok := bytes.CutPrefix(text, []byte(checkpointPrefix)); ok {
		l.checkpoint, l.err = parseCheckpointLine(jws)
	} else if l.entry, l.err = sharedata.ParseEntry(text); errors.Is(l.err, sharedata.ErrBadRecord) {
		if problem := whyNotJSONLine(text); problem != "" {
			l.err = fmt.Errorf("%w: %s", sharedata.ErrBadRecord, problem)
		}
	}
}

// parseCheckpointLine returns the JWS in a line, of which the prefix was cut.
func parseCheckpointLine(text []byte) (string, error) {
	jws, ok := bytes.CutSuffix(text, []byte(checkpointSuffix))
	if !ok || len(jws) == 0 || len(jws) > jose.MaxBytes || bytes.ContainsAny(jws, "\"\\ \r") {
		return "", fmt.Errorf("%w: the line is not of the form %sJWS%s", ErrBadCheckpoint, checkpointPrefix, checkpointSuffix)
	}
	return string(jws), nil
}

// whyNotJSONLine names the usual mistakes of programs that write or convert files.
func whyNotJSONLine(text []byte) string {
	switch {
	case len(text) == 0:
		return "the line is blank"
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return "it begins with a byte order mark"
	case text[len(text)-1] == '\r':
		return "it ends with a carriage return: lines end with a line feed alone"
	}
	return ""
}
