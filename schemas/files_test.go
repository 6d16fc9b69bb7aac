package schemas_test

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/safe-go/safe/schemas"
)

var (
	clientTypes = []string{"subscribe", "unsubscribe", "propose", "ping", "authenticate"}
	serverTypes = []string{"state", "transaction", "lifecycle", "proposal-result", "pong", "authenticated", "error"}
	combined    = []string{"client-message", "server-message"}
)

// document has the parts of a schema that the tests check.
type document struct {
	Schema      string                    `json:"$schema"`
	ID          string                    `json:"$id"`
	Title       string                    `json:"title"`
	Description string                    `json:"description"`
	Type        string                    `json:"type"`
	Properties  map[string]map[string]any `json:"properties"`
	Required    []string                  `json:"required"`
	Additional  any                       `json:"additionalProperties"`
	OneOf       []struct {
		Ref string `json:"$ref"`
	} `json:"oneOf"`
}

func readDocument(t *testing.T, name string) document {
	t.Helper()
	text, err := fs.ReadFile(schemas.FS(), "v1/"+name+".json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func TestDocuments_AreComplete(t *testing.T) {
	paths, err := fs.Glob(schemas.FS(), "v1/*")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range paths {
		got = append(got, strings.TrimSuffix(path.Base(p), ".json"))
	}
	want := slices.Concat(clientTypes, serverTypes, combined)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("documents\n%q, want\n%q", got, want)
	}
}

func TestDocuments_Describe(t *testing.T) {
	for _, name := range slices.Concat(clientTypes, serverTypes, combined) {
		d := readDocument(t, name)
		if d.Schema != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s: $schema %q", name, d.Schema)
		}
		if want := "https://github.com/safe-go/safe/schemas/v1/" + name + ".json"; d.ID != want {
			t.Errorf("%s: $id %q, want %q", name, d.ID, want)
		}
		if d.Title == "" || d.Description == "" || d.Type != "object" || d.Additional != nil {
			t.Errorf("%s: title %q, description %q, type %q, additionalProperties %v", name, d.Title, d.Description, d.Type, d.Additional)
		}
		for _, required := range append(d.Required, "v", "type") {
			if d.Properties[required] == nil || !slices.Contains(d.Required, required) {
				t.Errorf("%s: %q is not both required and described", name, required)
			}
		}
		for member, schema := range d.Properties {
			if description, _ := schema["description"].(string); len(description) < 10 {
				t.Errorf("%s: %s has the description %q", name, member, description)
			}
		}
		if d.Properties["v"]["const"] != 1.0 {
			t.Errorf("%s: v %v", name, d.Properties["v"])
		}
		if !slices.Contains(combined, name) && d.Properties["type"]["const"] != name {
			t.Errorf("%s: type %v", name, d.Properties["type"])
		}
	}
}

func TestDocuments_Combined(t *testing.T) {
	for name, want := range map[string][]string{"client-message": clientTypes, "server-message": serverTypes} {
		d := readDocument(t, name)
		var references, types []string
		for _, branch := range d.OneOf {
			references = append(references, strings.TrimSuffix(branch.Ref, ".json"))
		}
		for _, value := range d.Properties["type"]["enum"].([]any) {
			types = append(types, value.(string))
		}
		if !slices.Equal(references, want) || !slices.Equal(types, want) {
			t.Errorf("%s: refers to %q and lists %q, want %q", name, references, types, want)
		}
	}
}

// The Validator builds no objects and arrays, so no schema may check what is in
// them.
func TestDocuments_AreShallow(t *testing.T) {
	allowed := []string{"type", "const", "enum", "minLength", "maxLength", "pattern", "minimum", "maximum", "description"}
	for _, name := range slices.Concat(clientTypes, serverTypes) {
		for member, schema := range readDocument(t, name).Properties {
			for keyword := range schema {
				if keyword == "properties" {
					describeOnly(t, name+": "+member, schema[keyword].(map[string]any))
					continue
				}
				if !slices.Contains(allowed, keyword) {
					t.Errorf("%s: %s has the keyword %q", name, member, keyword)
				}
			}
		}
	}
}

// describeOnly allows a member to say what is in its object, without a check.
func describeOnly(t *testing.T, place string, properties map[string]any) {
	for name, schema := range properties {
		schema := schema.(map[string]any)
		if description, _ := schema["description"].(string); len(description) < 10 || len(schema) != 1 {
			t.Errorf("%s: %s has %v, want a description only", place, name, schema)
		}
	}
}

func TestDocuments_Metaschema(t *testing.T) {
	metaschema, err := jsonschema.NewCompiler().Compile("https://json-schema.org/draft/2020-12/schema")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(clientTypes, serverTypes, combined) {
		file, err := schemas.FS().Open("v1/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := metaschema.Validate(instance); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
