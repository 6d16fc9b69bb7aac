package schemas

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// ExplainClient returns nil for a frame that a client may send to a server,
// and otherwise an [*Error] that says what is wrong with it.
//
// A frame must be strict JSON (RFC 8259, and RFC 7493 section 2): UTF-8, no
// member name twice in an object, nothing after the object. ExplainClient is safe
// on any input. It refuses a frame that is larger than [MaxBytes] or nested deeper
// than [MaxDepth], and a number of more than 64 bytes in a member that a schema
// names. It builds no values that no schema checks.
func (v *Validator) ExplainClient(frame []byte) error {
	return v.client.explain(frame)
}

// ExplainServer is [Validator.ExplainClient] for a frame that a server may send
// to a client.
func (v *Validator) ExplainServer(frame []byte) error {
	return v.server.explain(frame)
}

func (d *direction) explain(data []byte) error {
	members, err := readMembers(data, d.members)
	if err != nil {
		return err
	}
	typeName, _ := members["type"].(string)
	schema, ok := d.frames[typeName]
	if !ok {
		return &Error{Problems: []Problem{d.typeProblem(members)}}
	}
	invalid := schema.Validate(members)
	if invalid == nil {
		return nil
	}
	var tree *jsonschema.ValidationError
	if !errors.As(invalid, &tree) {
		return fmt.Errorf("schemas: validate a %s frame: %w", typeName, invalid)
	}
	problems := appendProblems(nil, tree)
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Message, b.Message))
	})
	return &Error{Type: typeName, Problems: problems}
}

// typeProblem says why the type of a frame has no schema.
func (d *direction) typeProblem(members map[string]any) Problem {
	one := "must be one of " + strings.Join(d.types, ", ")
	value, ok := members["type"]
	if !ok {
		return Problem{Pointer: "/type", Message: "is missing; it " + one}
	}
	return Problem{Pointer: "/type", Message: one + ", not " + display(value)}
}

// appendProblems appends the leaves of the library's tree of errors.
func appendProblems(problems []Problem, tree *jsonschema.ValidationError) []Problem {
	if len(tree.Causes) > 0 {
		for _, cause := range tree.Causes {
			problems = appendProblems(problems, cause)
		}
		return problems
	}
	place := pointer(tree.InstanceLocation)
	if required, ok := tree.ErrorKind.(*kind.Required); ok {
		for _, name := range required.Missing {
			problems = append(problems, Problem{Pointer: place + pointer([]string{name}), Message: "is missing"})
		}
		return problems
	}
	return append(problems, Problem{Pointer: place, Message: describe(tree.ErrorKind)})
}

// describe returns the message for a keyword that the documents use.
func describe(problem jsonschema.ErrorKind) string {
	switch problem := problem.(type) {
	case *kind.Type:
		return "must be " + withArticles(problem.Want) + ", not " + withArticle(problem.Got)
	case *kind.Const:
		return "must be " + display(problem.Want) + ", not " + display(problem.Got)
	case *kind.Enum:
		wants := make([]string, len(problem.Want))
		for i, want := range problem.Want {
			wants[i] = display(want)
		}
		return "must be one of " + strings.Join(wants, ", ") + ", not " + display(problem.Got)
	case *kind.MinLength:
		if problem.Want == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters, not %d", problem.Want, problem.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, not %d", problem.Want, problem.Got)
	case *kind.Pattern:
		return "must match " + problem.Want + ", not " + display(problem.Got)
	case *kind.Minimum:
		return "must be at least " + problem.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + problem.Want.RatString()
	default:
		return "does not satisfy " + strings.Join(problem.KeywordPath(), "/")
	}
}

func withArticles(kinds []string) string {
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = withArticle(kind)
	}
	return strings.Join(words, " or ")
}

// withArticle puts the article before the name of a JSON type.
func withArticle(kind string) string {
	switch kind {
	case "null":
		return kind
	case "array", "integer", "object":
		return "an " + kind
	default:
		return "a " + kind
	}
}

// display returns a value for an error message, in few bytes and on one line.
func display(value any) string {
	const most = 64
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(value)
	case json.Number:
		return string(value)
	case string:
		if len(value) > most {
			cut := most
			for !utf8.RuneStart(value[cut]) {
				cut--
			}
			return strconv.Quote(value[:cut]) + "..."
		}
		return strconv.Quote(value)
	case []any:
		return "an array"
	default:
		return "an object"
	}
}

// pointer returns the JSON Pointer (RFC 6901) of the tokens.
func pointer(tokens []string) string {
	var pointer jsontext.Pointer
	for _, token := range tokens {
		pointer = pointer.AppendToken(token)
	}
	return string(pointer)
}
