package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on the frames that a [Validator] looks at.
const (
	// MaxBytes is the size of a frame, in bytes.
	MaxBytes = 16 << 20
	// MaxDepth is how deep objects and arrays may nest, the frame's own object
	// included. It is the bound of the JSON parser.
	MaxDepth = 10000
)

// maxNumber bounds, in bytes, how long a number may be written. Comparing
// numbers exactly costs more than linear time, so that a number of a million
// digits would keep a processor busy for seconds.
const maxNumber = 64

// readMembers checks that data is one strict JSON object and returns those of
// its members that a schema names. Objects and arrays come back empty: no
// schema looks inside, and a hostile one would take many times its own size.
func readMembers(data []byte, names map[string]bool) (map[string]any, error) {
	if len(data) > MaxBytes {
		return nil, problem("", fmt.Sprintf("has %d bytes, more than the %d that are looked at", len(data), MaxBytes))
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	if first := decoder.PeekKind(); first != jsontext.KindBeginObject && first != jsontext.KindInvalid {
		return nil, problem("", "must be a JSON object, not "+withArticle(kindName(first)))
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	members := make(map[string]any)
	for decoder.PeekKind() != jsontext.KindEndObject {
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		name := token.String()
		raw, err := decoder.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		if !names[name] {
			continue
		}
		value, err := shallow(raw)
		if err != nil {
			return nil, problem(pointer([]string{name}), err.Error())
		}
		members[name] = value
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	end := int(decoder.InputOffset())
	if rest := bytes.TrimLeft(data[end:], " \t\r\n"); len(rest) > 0 {
		return nil, problem("", fmt.Sprintf("is followed by more bytes, from byte %d on", len(data)-len(rest)))
	}
	return members, nil
}

// shallow turns a raw value into what the schema library takes.
func shallow(raw jsontext.Value) (any, error) {
	switch raw.Kind() {
	case jsontext.KindNull:
		return nil, nil
	case jsontext.KindTrue:
		return true, nil
	case jsontext.KindFalse:
		return false, nil
	case jsontext.KindNumber:
		if len(raw) > maxNumber || exponentDigits(raw) > 3 {
			return nil, errors.New("is a number written too long to be looked at")
		}
		return json.Number(raw), nil
	case jsontext.KindString:
		text, err := jsontext.AppendUnquote(nil, raw)
		return string(text), err
	case jsontext.KindBeginArray:
		return []any{}, nil
	default:
		return map[string]any{}, nil
	}
}

// exponentDigits counts the digits after the "e" of a number.
func exponentDigits(number []byte) int {
	e := bytes.IndexAny(number, "eE")
	if e < 0 {
		return 0
	}
	return len(bytes.TrimLeft(number[e+1:], "+-"))
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "boolean"
	case jsontext.KindNumber:
		return "number"
	case jsontext.KindString:
		return "string"
	case jsontext.KindBeginArray:
		return "array"
	default:
		return "object"
	}
}

// notJSON words an error of the JSON parser.
func notJSON(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return problem("", "is empty, but must be a JSON object")
	case !errors.As(err, &syntactic):
		return problem("", "is not JSON: "+err.Error())
	case errors.Is(err, jsontext.ErrDuplicateName):
		return problem(nearest(string(syntactic.JSONPointer)), "is there twice")
	}
	reason := syntactic.Err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "ends too early"
	}
	message := fmt.Sprintf("is not strict JSON at byte %d: %s", syntactic.ByteOffset, reason)
	return problem(nearest(string(syntactic.JSONPointer)), message)
}

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

func problem(pointer, message string) *Error {
	return &Error{Problems: []Problem{{Pointer: pointer, Message: message}}}
}
