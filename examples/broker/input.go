package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// input has the fields of the bodies of all endpoints.
type input struct {
	Username string `json:"username"`
	Password string `json:"password"`
	event
}

const maxTimestamp = 253402300799 // the end of the year 9999

// rules say when a field is valid, and what is wrong if it is not.
var rules = map[string]struct {
	isValid func(input) bool
	problem string
}{
	"username":      {func(in input) bool { return isName(in.Username) }, "must be a text of 1 to 256 bytes without control characters"},
	"password":      {func(in input) bool { return in.Password != "" && len(in.Password) <= 72 }, "must be a text of 1 to 72 bytes"}, // all that bcrypt hashes
	"collection_id": {func(in input) bool { return isUUID(in.CollectionID) }, "must be a uuid"},
	"event":         {func(in input) bool { return isName(in.Event) && in.Event != gapName }, "must be a text of 1 to 256 bytes without control characters, and not " + gapName},
	"timestamp":     {func(in input) bool { return in.Timestamp <= maxTimestamp }, "must be whole seconds up to the year 9999"},
	"data":          {func(in input) bool { return in.Data != nil }, "is missing: it may be any JSON"},
}

// isName reports whether a text can be part of an id, and a line of an event stream.
func isName(text string) bool {
	return text != "" && len(text) <= 256 && !strings.ContainsFunc(text, unicode.IsControl)
}

// isUUID reports whether a text is a UUID in lower case, and in no other form.
func isUUID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// decode decodes a body and checks the fields that it must have. It ignores unknown fields,
// the values of known ones that it need not have, such as those of an event that only the
// broker sets, and any body of a request without fields. A known field of another type is an
// error, whether it must be there or not. Errors are of the type *requestError.
func decode(body io.Reader, fields []string) (in input, err error) {
	text, err := io.ReadAll(body)
	if err != nil { // or it was cut off, and nobody reads the response
		return in, &requestError{http.StatusRequestEntityTooLarge, "the body is too large"}
	}
	in.Timestamp = maxTimestamp + 1 // which is not valid, unless the body has another one
	if err := json.Unmarshal(text, &in); err != nil && len(fields) > 0 {
		return in, &requestError{http.StatusBadRequest, "the body is not what is expected: " + err.Error()}
	}
	in.event = event{Event: in.Event, CollectionID: strings.ToLower(in.CollectionID), Timestamp: in.Timestamp, Data: in.Data}
	for _, field := range fields {
		if !rules[field].isValid(in) {
			return in, &requestError{http.StatusBadRequest, field + " " + rules[field].problem}
		}
	}
	return in, nil
}
