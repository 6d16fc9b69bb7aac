package sharedata

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// inputSchema is a compiled JSON Schema for the input of a function.
type inputSchema struct {
	text     string // as it was given
	compiled *jsonschema.Schema
	printer  *message.Printer
}

// schemaURL names the schema to the compiler, which requires a URL. Nothing is
// ever loaded from there or from anywhere else.
const schemaURL = "safe:///function-input"

var errNoLoading = errors.New("a function's schema cannot refer to other documents; put them under $defs")

// noLoader fails to load every document that a schema refers to.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errNoLoading }

// compileSchema compiles a JSON Schema; draft 2020-12 unless it names another.
func compileSchema(text string) (*inputSchema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return &inputSchema{text: text, compiled: compiled, printer: message.NewPrinter(language.English)}, nil
}

// check returns the JSON Pointer to a place at which the data does not fit the
// schema, and what is wrong there. ok says that the data fits.
func (s *inputSchema) check(data json.RawMessage) (pointer, problem string, ok bool) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return "", err.Error(), false
	}
	if place, costly := costlyNumber(value, nil); costly {
		return jsonPointer(place), "a number with too many digits or too large an exponent for the schema", false
	}
	err = s.compiled.Validate(value)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return "", "", true
	case !errors.As(err, &invalid):
		return "", err.Error(), false
	}
	// The innermost cause names the place. The outer ones only say that something
	// within them failed.
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	return jsonPointer(invalid.InstanceLocation), invalid.ErrorKind.LocalizedString(s.printer), false
}

// costlyNumber returns the place of a number that the validator must not see. The
// validator computes with exact fractions: long numbers take more than linear
// time, large exponents as many digits, and very large ones make it panic.
func costlyNumber(value any, at []string) (place []string, found bool) {
	switch value := value.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(string(value)), "e")
		return at, len(value) > 64 || len(strings.TrimLeft(exponent, "+-")) > 3
	case []any:
		for i, element := range value {
			if place, found := costlyNumber(element, append(at, strconv.Itoa(i))); found {
				return place, true
			}
		}
	case map[string]any:
		for name, member := range value {
			if place, found := costlyNumber(member, append(at, name)); found {
				return place, true
			}
		}
	}
	return nil, false
}
