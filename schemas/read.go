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

// Bounds on the frames that a [Validator] accepts.
const (
	// MaxBytes is the largest size of a frame, in bytes.
	MaxBytes = 16 << 20
	// MaxDepth is how many levels of objects and arrays a frame may have, its own
	// object included. It is the limit of the JSON parser.
	MaxDepth = 10000
)

// maxNumber is the largest length of a number, in bytes. Comparing numbers exactly
// takes more than linear time: a number of a million digits would keep a processor
// busy for seconds.
const maxNumber = 64

// readMembers checks that data is one strict JSON object and returns those of its
// members that a schema names. It returns objects and arrays empty: no schema
// checks what is in them, and their values would take many times the memory of
// the text.
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

// shallow returns a raw value in the form that the schema library takes.
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

// notJSON returns the error of the JSON parser as an *Error.
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

func problem(pointer, message string) *Error {
	return &Error{Problems: []Problem{{Pointer: pointer, Message: message}}}
}
