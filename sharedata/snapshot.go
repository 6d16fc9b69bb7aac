package sharedata

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/replay"
)

// Snapshot is a ShareData's whole state at one position of its history.
type Snapshot struct {
	// ID is the ShareData's.
	ID string
	// Kind names the set of functions it was created with; empty where it was
	// created with functions of its own.
	Kind string
	// State is one valid JSON value in UTF-8. Do not change its bytes.
	State json.RawMessage
	// Cursor is the position of the newest entry.
	Cursor replay.Cursor
	// LastTransaction is the position of the newest transaction; zero before
	// the first one.
	LastTransaction replay.Cursor
}

// Decode reads a state, or any JSON, into a T. The error is ErrInvalidState.
func Decode[T any](state json.RawMessage) (T, error) {
	var value T
	if err := json.Unmarshal(state, &value); err != nil {
		return value, fmt.Errorf("%w: %w", ErrInvalidState, err)
	}
	return value, nil
}

// toJSON makes one valid JSON value of anything: raw JSON is checked and copied,
// as the value outlives the call, which the caller's bytes need not; the rest
// is marshalled.
func toJSON(value any) (json.RawMessage, error) {
	switch value := value.(type) {
	case json.RawMessage:
		return bytes.Clone(value), validJSON(value)
	case jsontext.Value:
		return json.RawMessage(bytes.Clone(value)), validJSON(json.RawMessage(value))
	}
	return marshal(value)
}

// marshal is json.Marshal for what becomes a state or proposed data. The check
// is about raw JSON within the value, and about names that are not UTF-8.
func marshal(value any) (json.RawMessage, error) {
	raw, err := json.Marshal(value)
	if err == nil {
		err = validJSON(raw)
	}
	return raw, err
}

// MaxDepth is how deep objects and arrays may nest in a state, in proposed data
// and in claims. What the parsers bear, 10,000 levels, must not be used up:
// records and messages put further levels around it.
const MaxDepth = 1000

// tooDeep reports whether valid JSON nests deeper than MaxDepth.
func tooDeep(raw json.RawMessage) bool {
	if bytes.Count(raw, []byte("{"))+bytes.Count(raw, []byte("[")) <= MaxDepth {
		return false // as nearly always
	}
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}

// validJSON is stricter than json.Valid: a state goes out in WebSocket text
// messages, which must be UTF-8 (RFC 6455 section 5.6), and to readers that
// may take either of two members by one name.
func validJSON(raw json.RawMessage) error {
	if jsontext.Value(raw).IsValid() {
		if tooDeep(raw) {
			return errTooDeep
		}
		return nil
	}
	// IsValid does not say why; reading the value again does.
	var discard any
	if err := json.Unmarshal(raw, &discard); err != nil {
		return err
	}
	return errNotStrictJSON
}
