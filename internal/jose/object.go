package jose

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/safe-go/safe/internal/nesting"
)

// Members returns the members of the JSON object in raw, each as one JSON value. The
// JSON must be UTF-8, nest at most depth levels, have distinct names in each object,
// and be followed by nothing but white space; every other input is ErrMalformed.
// Parsers differ in how they read other input, so one could check another value than
// the next one uses.
func Members(raw []byte, depth int) (map[string]jsontext.Value, error) {
	if nesting.OffsetBeyond(raw, depth) >= 0 { // before a parser sees it
		return nil, fmt.Errorf("%w: its JSON nests deeper than %d levels", ErrMalformed, depth)
	}
	value := bytes.Trim(raw, " \t\r\n")
	if len(value) == 0 || value[0] != '{' || !jsontext.Value(value).IsValid() {
		return nil, fmt.Errorf("%w: its JSON is not one object in UTF-8 without duplicate names", ErrMalformed)
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value))
	members := make(map[string]jsontext.Value)
	_, err := decoder.ReadToken() // the opening brace
	for err == nil && decoder.PeekKind() == '"' {
		var name jsontext.Token
		if name, err = decoder.ReadToken(); err != nil {
			break
		}
		text := name.String() // before the next read, which the token does not survive
		var member jsontext.Value
		if member, err = decoder.ReadValue(); err == nil {
			members[text] = member.Clone()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its JSON cannot be read", ErrMalformed)
	}
	return members, nil
}

// String returns the text of a member that must be a string; it is empty and the
// error nil if there is no such member.
func String(members map[string]jsontext.Value, name string) (string, error) {
	value, there := members[name]
	if !there {
		return "", nil
	}
	if value.Kind() != '"' {
		return "", fmt.Errorf("%w: its member %q is not a string", ErrMalformed, name)
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", fmt.Errorf("%w: its member %q is not a string", ErrMalformed, name)
	}
	return string(text), nil
}
