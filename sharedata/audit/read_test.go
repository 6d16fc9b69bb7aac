package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// readAll returns the number of entries before the first error.
func readAll(r io.Reader, options *audit.ReadOptions) (n int, err error) {
	for _, err := range audit.ReadEntries(r, options) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestReadEntries_AnyReader(t *testing.T) {
	const entries = 1500 // several chunks
	export := exportOf(entries)
	for name, r := range map[string]io.Reader{
		"whole":        bytes.NewReader(export),
		"bytes":        iotest.OneByteReader(bytes.NewReader(export)),
		"halves":       iotest.HalfReader(bytes.NewReader(export)),
		"error at end": iotest.DataErrReader(bytes.NewReader(export)),
	} {
		var encoded []byte
		chain, err := sharedata.Verify(func(yield func(sharedata.Entry, error) bool) {
			for e, err := range audit.ReadEntries(r, nil) {
				text, _ := e.MarshalJSON()
				encoded = append(append(encoded, text...), '\n')
				if !yield(e, err) {
					return
				}
			}
		})
		if err != nil || chain.Last.Revision != entries || !bytes.Equal(encoded, export) {
			t.Errorf("%s: %+v, %v", name, chain, err)
		}
	}
}

// Lines are numbered across chunks, and an error hides no entry before it.
func TestReadEntries_LateError(t *testing.T) {
	lines := chainOf(bodiesOf(1500))
	lines[1399] = strings.Replace(lines[1399], `"by":1400`, `"by":1`, 1)
	n, err := readAll(strings.NewReader(strings.Join(lines, "")), nil)
	if problem, ok := errors.AsType[*audit.Error](err); n != 1399 || !ok || problem.Line != 1400 || !strings.Contains(err.Error(), "at 7-1400:") {
		t.Errorf("%d entries, %v", n, err)
	}
}

func TestReadEntries_Refused(t *testing.T) {
	lines := chainOf(bodiesOf(4))
	long := strings.Repeat(" ", 2000)
	options := &audit.ReadOptions{MaxLineBytes: 1000}
	for name, test := range map[string]struct {
		third  string // replaces the third line
		want   error
		reason string
	}{
		"blank":              {"\n", sharedata.ErrBadRecord, "the line is blank"},
		"spaces":             {"  \n", sharedata.ErrBadRecord, ""},
		"carriage return":    {strings.TrimSuffix(lines[2], "\n") + "\r\n", sharedata.ErrBadRecord, "carriage return"},
		"byte order mark":    {"\ufeff" + lines[2], sharedata.ErrBadRecord, "byte order mark"},
		"indented":           {" " + lines[2], sharedata.ErrBadRecord, "the entry at 7-3 is not canonical"},
		"cut":                {lines[2][:100] + "\n", sharedata.ErrBadRecord, ""},
		"line feed missing":  {strings.TrimSuffix(lines[2], "\n"), sharedata.ErrBadRecord, ""},
		"unknown member":     {strings.Replace(lines[2], `,"previous"`, `,"x":1,"previous"`, 1), sharedata.ErrBadRecord, "the entry at 7-3 is not canonical"},
		"array":              {"[" + strings.TrimSuffix(lines[2], "\n") + "]\n", sharedata.ErrBadRecord, ""},
		"changed":            {strings.Replace(lines[2], `"by":3`, `"by":4`, 1), sharedata.ErrChainBroken, "7-3: its hash is not that of its contents"},
		"long":               {long + "\n", audit.ErrLineTooLong, "1000 bytes"},
		"NUL":                {"\x00\n", sharedata.ErrBadRecord, ""},
		"checkpoint empty":   {`{"checkpoint":""}` + "\n", audit.ErrBadCheckpoint, ""},
		"checkpoint no text": {`{"checkpoint":"a` + "\n", audit.ErrBadCheckpoint, ""},
		"checkpoint more":    {`{"checkpoint":"a","b":"c"}` + "\n", audit.ErrBadCheckpoint, ""},
		"checkpoint spaced":  {`{"checkpoint":"a"} ` + "\n", audit.ErrBadCheckpoint, ""},
		"checkpoint long":    {`{"checkpoint":"` + strings.Repeat("a", 1<<16) + `"}` + "\n", audit.ErrLineTooLong, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := readAll(strings.NewReader(lines[0]+lines[1]+test.third+lines[3]), options)
			problem, ok := errors.AsType[*audit.Error](err)
			if n != 2 || !ok || problem.Line != 3 || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("%d entries, %v", n, err)
			}
			if !strings.Contains(err.Error(), "7-2") && !strings.Contains(err.Error(), "7-3") {
				t.Errorf("the error names no entry: %v", err)
			}
		})
	}
}

func TestReadEntries_End(t *testing.T) {
	lines := chainOf(bodiesOf(2))
	for name, test := range map[string]struct {
		input io.Reader
		n     int
		want  error
	}{
		"empty":              {strings.NewReader(""), 0, nil},
		"no last line feed":  {strings.NewReader(lines[0] + strings.TrimSuffix(lines[1], "\n")), 1, audit.ErrTruncated},
		"within a line":      {strings.NewReader(lines[0] + lines[1][:50]), 1, audit.ErrTruncated},
		"a reader's error":   {io.MultiReader(strings.NewReader(lines[0]+lines[1]), iotest.ErrReader(iotest.ErrTimeout)), 2, iotest.ErrTimeout},
		"error in a line":    {io.MultiReader(strings.NewReader(lines[0]+lines[1][:9]), iotest.ErrReader(iotest.ErrTimeout)), 1, iotest.ErrTimeout},
		"endless line":       {io.MultiReader(strings.NewReader(lines[0]), endless{}), 1, audit.ErrLineTooLong},
		"endless first line": {endless{}, 0, audit.ErrLineTooLong},
	} {
		if n, err := readAll(test.input, nil); n != test.n || !errors.Is(err, test.want) {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
	}
}

// endless is a line that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '1'
	}
	return len(p), nil
}

// An entry may be longer than a chunk.
func TestReadEntries_LongLine(t *testing.T) {
	bodies := bodiesOf(3)
	bodies[1] = strings.Replace(bodies[1], `{"by":2}`, `"`+strings.Repeat("a", 1<<20)+`"`, 1)
	lines := strings.Join(chainOf(bodies), "")
	if n, err := readAll(strings.NewReader(lines), nil); n != 3 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	if n, err := readAll(strings.NewReader(lines), &audit.ReadOptions{MaxLineBytes: -1}); n != 3 || err != nil {
		t.Errorf("without a limit: %d entries, %v", n, err)
	}
	if n, err := readAll(strings.NewReader(lines), &audit.ReadOptions{MaxLineBytes: 1 << 20}); n != 1 || !errors.Is(err, audit.ErrLineTooLong) {
		t.Errorf("with a limit: %d entries, %v", n, err)
	}
	if n, err := readAll(strings.NewReader(lines), &audit.ReadOptions{MaxLineBytes: -2}); n != 0 || err == nil {
		t.Errorf("with a wrong limit: %d entries, %v", n, err)
	}
}

// The loop may end at any entry; goleak sees what is left.
func TestReadEntries_EarlyBreak(t *testing.T) {
	export := exportOf(2000)
	for _, n := range []int{1, 2, 300, 1999} {
		read := 0
		for range audit.ReadEntries(bytes.NewReader(export), nil) {
			if read++; read == n {
				break
			}
		}
	}
}

func TestReadEntries_SkipsCheckpoints(t *testing.T) {
	lines := chainOf(bodiesOf(3))
	line := fmt.Sprintf("{\"checkpoint\":%q}\n", "not.verified.here")
	if n, err := readAll(strings.NewReader(line+lines[0]+line+line+lines[1]+lines[2]+line), nil); n != 3 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
}
