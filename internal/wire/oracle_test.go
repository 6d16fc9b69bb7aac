package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/safe-go/safe/schemas"
)

// oracle decides whether a frame is allowed without any code of this package: it
// checks that the frame is strict JSON and validates it with the published schema.
type oracle struct{ schema *jsonschema.Schema }

// errUnknown means that the schema library would take too long.
var errUnknown = errors.New("the oracle does not know")

func newOracle(t testing.TB, document string) oracle {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(documents{})
	schema, err := compiler.Compile(schemas.BaseURL + document)
	if err != nil {
		t.Fatal(err)
	}
	return oracle{schema}
}

// documents loads the published schema files.
type documents struct{}

func (documents) Load(url string) (any, error) {
	file, err := schemas.FS().Open(url[len(schemas.BaseURL):])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return jsonschema.UnmarshalJSON(file)
}

// check returns nil for an allowed frame.
func (o oracle) check(frame []byte, maxDepth int) error {
	if err := strictJSON(frame, maxDepth); err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		return err
	}
	object, _ := instance.(map[string]any)
	for _, value := range object {
		if number, ok := value.(json.Number); ok && costly(string(number)) {
			return errUnknown
		}
	}
	return o.schema.Validate(instance)
}

// costly reports whether exact arithmetic on a number may take long.
func costly(number string) bool {
	_, exponent, _ := bytes.Cut(bytes.ToLower([]byte(number)), []byte("e"))
	return len(number) > 64 || len(bytes.TrimLeft(exponent, "+-")) > 3
}

// strictJSON checks what the protocol requires beyond the grammar of JSON.
func strictJSON(text []byte, maxDepth int) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(text) {
		return errors.New("not one JSON text")
	}
	if loneSurrogate(text) {
		return errors.New("a surrogate without its other half")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return strictValue(decoder, maxDepth)
}

func strictValue(decoder *json.Decoder, levels int) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if levels == 0 {
		return errors.New("too deep")
	}
	seen := make(map[string]bool)
	for decoder.More() {
		if delimiter == '{' {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			name := token.(string)
			if seen[name] {
				return fmt.Errorf("%q is there twice", name)
			}
			seen[name] = true
		}
		if err := strictValue(decoder, levels-1); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// loneSurrogate reports whether valid JSON has an escaped surrogate without its
// other half. A backslash occurs in strings only.
func loneSurrogate(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i++; text[i] != 'u' {
			continue
		}
		first := unit(text[i+1:])
		if i += 4; !utf16.IsSurrogate(first) {
			continue
		}
		rest := text[i+1:]
		if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || utf16.DecodeRune(first, unit(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

func unit(hexadecimal []byte) rune {
	value, _ := strconv.ParseUint(string(hexadecimal[:4]), 16, 16)
	return rune(value)
}

func TestOracle(t *testing.T) {
	client := newOracle(t, "v1/client-message.json")
	for frame, want := range map[string]bool{
		`{"v":1,"type":"ping","correlationId":"c"}`:                              true,
		` {"v":1.0,"type":"ping","correlationId":"\ud83d\ude00"} `:               true,
		`{"v":1,"type":"ping","correlationId":"\\ud83d"}`:                        true,
		`{"v":1,"type":"ping","correlationId":"c","x":[[]]}`:                     true,
		`{"v":1,"type":"ping","correlationId":"c","x":[[[]]]}`:                   false,
		`{"v":1,"type":"ping","correlationId":"\ud83d"}`:                         false,
		`{"v":1,"type":"ping","correlationId":"\ud83d\ud83d"}`:                   false,
		`{"v":1,"type":"ping","correlationId":"\ude00"}`:                         false,
		"{\"v\":1,\"type\":\"ping\",\"correlationId\":\"\xff\"}":                 false,
		`{"v":1,"type":"ping","correlationId":"c","x":1,"\u0078":2}`:             false,
		`{"v":1,"type":"ping","correlationId":"c","x":[{"a":1},{"a":1}]}`:        true,
		`{"v":1,"type":"ping","correlationId":"c","x":[{"a":1,"a":1}]}`:          false,
		`{"v":1,"type":"ping","correlationId":"c"}{}`:                            false,
		`{"v":2,"type":"ping","correlationId":"c"}`:                              false,
		`{"v":1,"type":"pong","correlationId":"c"}`:                              false,
		`{"v":1,"type":"ping","correlationId":""}`:                               false,
		`{"v":1,"type":"propose","shareDataId":"s","functionId":"f","proof":{}}`: false,
		`[]`: false,
		``:   false,
	} {
		if err := client.check([]byte(frame), 3); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", frame, err, want)
		}
	}
}
