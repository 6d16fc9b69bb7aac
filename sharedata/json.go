package sharedata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/jsonpatch"
	"github.com/safe-go/safe/internal/nesting"
)

// MaxDepth is how deep objects and arrays may nest in a state, in proposed data,
// in claims and in the details of a rejection. It is far below the 10,000 levels
// that the parsers accept, because records and messages add levels around it.
const MaxDepth = 1000

var (
	errNotStrictJSON = errors.New("not valid UTF-8, or an object with two members of one name")
	errTooDeep       = fmt.Errorf("objects and arrays nest deeper than %d levels", MaxDepth)
)

// toJSON returns the value as one valid JSON value. Raw JSON is checked, and
// copied because the caller may use its bytes again; everything else is
// marshalled.
func toJSON(value any) (json.RawMessage, error) {
	switch value := value.(type) {
	case json.RawMessage:
		return bytes.Clone(value), validJSON(value)
	case jsontext.Value:
		return json.RawMessage(bytes.Clone(value)), validJSON(json.RawMessage(value))
	}
	return marshal(value)
}

// marshal is json.Marshal with the result checked: raw JSON within the value is
// copied as it is, and two names that are not UTF-8 may become one.
func marshal(value any) (json.RawMessage, error) {
	raw, err := json.Marshal(value)
	if err == nil {
		err = validJSON(raw)
	}
	return raw, err
}

// validJSON is stricter than json.Valid. It requires UTF-8, because WebSocket
// text messages do (RFC 6455 section 5.6), and distinct names within an object,
// because readers differ in which of two equal names they use.
func validJSON(raw json.RawMessage) error {
	if jsontext.Value(raw).IsValid() {
		if nesting.OffsetBeyond(raw, MaxDepth) >= 0 {
			return errTooDeep
		}
		return nil
	}
	// IsValid does not say why; decoding the value does in most cases.
	var discard any
	if err := json.Unmarshal(raw, &discard); err != nil {
		return err
	}
	return errNotStrictJSON
}

// isCanonical reports whether a JSON text has the form that states have; nil has.
func isCanonical(text json.RawMessage) bool {
	canonical := jsonpatch.Canonical(text)
	return len(canonical) == len(text) && (len(text) == 0 || &canonical[0] == &text[0])
}

// pointerAt returns the JSON Pointer to the value whose first token ends at the
// offset; empty if none does.
func pointerAt(raw json.RawMessage, offset int64) string {
	decoder := jsontext.NewDecoder(bytes.NewReader(raw))
	for decoder.InputOffset() < offset {
		if _, err := decoder.ReadToken(); err != nil {
			return ""
		}
	}
	if decoder.InputOffset() != offset {
		return ""
	}
	return string(decoder.StackPointer())
}

// jsonPointer writes a location as a JSON Pointer (RFC 6901 section 3).
func jsonPointer(location []string) string {
	var pointer jsontext.Pointer
	for _, token := range location {
		pointer = pointer.AppendToken(token)
	}
	return string(pointer)
}
