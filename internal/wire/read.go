package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/nesting"
)

// frame is a frame that is being decoded: the places of the values of its known
// members, and the first failure. It is read in one pass that checks every byte.
// The members are interpreted afterwards, because "type" may come last.
type frame struct {
	data    []byte
	values  [memberCount]span
	failure *DecodeError

	// The rest is reused for the next frame.
	decoder jsontext.Decoder
	input   bytes.Buffer
	scratch []byte
}

// span is the place of a value in the data; empty if the member is missing.
type span struct{ start, end int }

// frames are reused because of the decoder and its stacks.
var frames = sync.Pool{New: func() any { return new(frame) }}

// readFrame reads data into a frame from the pool. The caller releases it.
func readFrame(data []byte, maxBytes, maxDepth int) *frame {
	f := frames.Get().(*frame)
	f.data = data
	f.read(maxBytes, maxDepth)
	return f
}

// release puts the frame back into the pool, without the data, and without its
// buffer if a large string has made that large.
func (f *frame) release() {
	f.data, f.failure = nil, nil
	f.values = [memberCount]span{}
	f.input = bytes.Buffer{}
	f.decoder.Reset(&f.input)
	if cap(f.scratch) > 4<<10 {
		f.scratch = nil
	}
	frames.Put(f)
}

func (f *frame) read(maxBytes, maxDepth int) {
	if maxBytes != unlimited && len(f.data) > maxBytes {
		f.fail(ErrTooLarge, "", maxBytes, fmt.Sprintf("%d bytes, at most %d are taken", len(f.data), maxBytes))
		return
	}
	if at := nesting.OffsetBeyond(f.data, maxDepth); at >= 0 {
		f.fail(ErrTooDeep, memberAt(f.data, at), at, fmt.Sprintf("at most %d levels are taken", maxDepth))
		return
	}
	f.input = *bytes.NewBuffer(f.data)
	f.decoder.Reset(&f.input)
	if first := f.decoder.PeekKind(); first != jsontext.KindBeginObject && first != jsontext.KindInvalid {
		f.fail(ErrNotObject, "", 0, "must be an object, not "+kindName(first))
		return
	}
	if err := f.readMembers(); err != nil {
		f.failSyntax(err)
		return
	}
	end := int(f.decoder.InputOffset())
	if rest := bytes.TrimLeft(f.data[end:], " \t\r\n"); len(rest) > 0 {
		f.fail(ErrTrailing, "", len(f.data)-len(rest), "")
	}
}

func (f *frame) readMembers() error {
	if _, err := f.decoder.ReadToken(); err != nil {
		return err
	}
	for f.decoder.PeekKind() != jsontext.KindEndObject {
		quoted, err := f.decoder.ReadValue()
		if err != nil {
			return err
		}
		name := memberNamed(f.unquote(quoted))
		value, err := f.decoder.ReadValue()
		if err != nil {
			return err
		}
		if name != memberCount {
			end := int(f.decoder.InputOffset())
			f.values[name] = span{end - len(value), end}
		}
	}
	_, err := f.decoder.ReadToken()
	return err
}

// unquote returns the text of a JSON string. It is valid until the next call.
func (f *frame) unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	// The only error is a syntax error, which the decoder has excluded.
	f.scratch, _ = jsontext.AppendUnquote(f.scratch[:0], quoted)
	return f.scratch
}

// fail keeps the first failure.
func (f *frame) fail(reason error, pointer string, offset int, detail string) {
	if f.failure == nil {
		f.failure = &DecodeError{
			Reason: reason, Pointer: pointer, Offset: offset, Detail: detail,
			CorrelationID: f.replyCorrelationID(),
		}
	}
}

// failSyntax fails because of an error of the JSON decoder.
func (f *frame) failSyntax(err error) {
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		if err == io.EOF {
			f.fail(ErrSyntax, "", len(f.data), "there is nothing here")
		} else {
			f.fail(ErrSyntax, "", -1, err.Error())
		}
		return
	}
	pointer, offset := nearest(string(syntactic.JSONPointer)), int(syntactic.ByteOffset)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		f.fail(ErrDuplicate, pointer, offset, "")
	case !startsWithUnicode(f.data[offset:]):
		f.fail(ErrUTF8, pointer, offset, "")
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.fail(ErrSyntax, pointer, offset, "ends too early")
	default:
		f.fail(ErrSyntax, pointer, offset, syntactic.Err.Error())
	}
}

// startsWithUnicode reports whether the data, at which the decoder stopped, begin
// with neither a byte that is not UTF-8 nor an escaped surrogate. The decoder
// stops at a surrogate only if the other half is missing.
func startsWithUnicode(data []byte) bool {
	if r, size := utf8.DecodeRune(data); r == utf8.RuneError && size == 1 {
		return false
	}
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return true
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return err != nil || !utf16.IsSurrogate(rune(unit))
}

// memberAt returns the JSON Pointer to the frame's member at an offset.
func memberAt(data []byte, offset int) string {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	for decoder.InputOffset() <= int64(offset) {
		if _, err := decoder.ReadToken(); err != nil {
			break
		}
	}
	for name := range decoder.StackPointer().Tokens() {
		return nearest(string(jsontext.Pointer("").AppendToken(name)))
	}
	return ""
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "an object"
	}
}
