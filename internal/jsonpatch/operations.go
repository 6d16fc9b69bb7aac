package jsonpatch

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrPatch is the error, by errors.Is, of every patch that Apply refuses.
var ErrPatch = errors.New("the JSON patch cannot be applied")

// Error says why a patch was refused.
type Error struct {
	Operation int    // the index of the operation in the patch, or -1 for the patch as a whole
	Path      string // of the operation, as far as it was read; at most 100 bytes
	Reason    string
}

func (e *Error) Error() string {
	if e.Operation < 0 {
		return "JSON patch: " + e.Reason
	}
	return fmt.Sprintf("JSON patch: operation %d, path %q: %s", e.Operation, e.Path, e.Reason)
}

// Unwrap returns [ErrPatch].
func (e *Error) Unwrap() error { return ErrPatch }

// failure returns the error of one operation.
func failure(index int, path []byte, reason string) error {
	return &Error{Operation: index, Path: string(path[:min(len(path), 100)]), Reason: reason}
}

type kind uint8

const (
	add kind = iota + 1
	remove
	replace
)

// operation is one of a patch that is applied.
type operation struct {
	kind  kind
	path  []byte // the pointer, without the escapes of JSON
	value []byte // as it is in the patch; nil for remove
}

// parse reads a patch strictly: one JSON array of objects with op, path and, where
// needed, value. Members that are not known are ignored (RFC 6902 section 4).
// The operations share the memory of the patch.
func parse(patch []byte) ([]operation, error) {
	if !jsontext.Value(patch).IsValid() {
		return nil, &Error{Operation: -1, Reason: "a patch must be valid JSON in UTF-8 with distinct names"}
	}
	i := skipSpace(patch, 0)
	if at(patch, i) != '[' {
		return nil, &Error{Operation: -1, Reason: "a patch must be an array of operations"}
	}
	var operations []operation
	for i = skipSpace(patch, i+1); at(patch, i) != ']'; {
		o, end, err := parseOperation(patch, i, len(operations))
		if err != nil {
			return nil, err
		}
		operations = append(operations, o)
		if i = skipSpace(patch, end); at(patch, i) == ',' {
			i = skipSpace(patch, i+1)
		}
	}
	return operations, nil
}

// parseOperation reads the operation at i of a patch that is valid JSON, and returns
// the offset behind it.
func parseOperation(patch []byte, i, index int) (o operation, end int, err error) {
	if at(patch, i) != '{' {
		return o, 0, failure(index, nil, "an operation must be an object")
	}
	var op []byte
	for i = skipSpace(patch, i+1); patch[i] != '}'; {
		nameEnd := skipString(patch, i)
		start := skipColon(patch, nameEnd)
		end := skipValue(patch, start)
		name, value := patch[i+1:nameEnd-1], patch[start:end]
		switch {
		case equalName(name, []byte("op")):
			op = content(value)
		case equalName(name, []byte("path")):
			if o.path = content(value); o.path == nil {
				return o, 0, failure(index, nil, `"path" must be a string`)
			}
		case equalName(name, []byte("value")):
			o.value = value
		}
		if i = skipSpace(patch, end); patch[i] == ',' {
			i = skipSpace(patch, i+1)
		}
	}
	switch {
	case o.path == nil:
		return o, 0, failure(index, nil, `"path" is missing`)
	case !validPointer(o.path):
		return o, 0, failure(index, o.path, "the path must be a JSON Pointer: empty, or starting with /, with ~ only in ~0 and ~1")
	}
	switch string(op) {
	case "add":
		o.kind = add
	case "remove":
		o.kind = remove
		o.value = nil
		return o, i + 1, nil
	case "replace":
		o.kind = replace
	default:
		return o, 0, failure(index, o.path, `"op" must be add, remove or replace; no other operation is supported`)
	}
	if o.value == nil {
		return o, 0, failure(index, o.path, `"value" is missing`)
	}
	return o, i + 1, nil
}

// content returns the content of a valid JSON string, and nil for another value.
func content(value []byte) []byte {
	if value[0] != '"' {
		return nil
	}
	raw := value[1 : len(value)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	unescaped, _ := unescape(make([]byte, 0, len(raw)), raw)
	return unescaped
}
