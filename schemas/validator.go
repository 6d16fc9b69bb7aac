package schemas

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Validator says what is wrong with a frame. Create it once with [New]; any number
// of goroutines may use it at the same time.
type Validator struct {
	client direction
	server direction
}

// direction has the frames that one side of a connection may send.
type direction struct {
	// types are the values of the member "type", in the order of the document.
	types []string
	// frames has the schema of each type.
	frames map[string]*jsonschema.Schema
	// members are the names of all members that the schemas name.
	members map[string]bool
}

// New compiles the embedded documents. An error means that a document is invalid,
// which the tests of this package exclude.
func New() (*Validator, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is fetched

	names, err := fs.Glob(files, "v1/*.json")
	if err != nil {
		return nil, fmt.Errorf("schemas: list the documents: %w", err)
	}
	for _, name := range names {
		if err := addDocument(compiler, name); err != nil {
			return nil, fmt.Errorf("schemas: read %s: %w", name, err)
		}
	}

	v := new(Validator)
	if v.client, err = compileDirection(compiler, "client-message"); err != nil {
		return nil, err
	}
	if v.server, err = compileDirection(compiler, "server-message"); err != nil {
		return nil, err
	}
	return v, nil
}

func addDocument(compiler *jsonschema.Compiler, name string) error {
	file, err := files.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return err
	}
	return compiler.AddResource(BaseURL+name, document)
}

// compileDirection compiles a combined document. It lists the types, and its
// branches refer to the schema of each type.
func compileDirection(compiler *jsonschema.Compiler, name string) (direction, error) {
	combined, err := compiler.Compile(BaseURL + "v1/" + name + ".json")
	if err != nil {
		return direction{}, fmt.Errorf("schemas: compile %s: %w", name, err)
	}
	d := direction{frames: make(map[string]*jsonschema.Schema), members: make(map[string]bool)}
	for _, value := range combined.Properties["type"].Enum.Values {
		d.types = append(d.types, value.(string))
	}
	for _, branch := range combined.OneOf {
		frame := branch.Ref
		typeName, ok := (*frame.Properties["type"].Const).(string)
		if !ok || !slices.Contains(d.types, typeName) {
			return direction{}, fmt.Errorf("schemas: %s refers to a schema of type %q, which it does not list", name, typeName)
		}
		d.frames[typeName] = frame
		for member := range frame.Properties {
			d.members[member] = true
		}
	}
	if len(d.frames) != len(d.types) {
		return direction{}, fmt.Errorf("schemas: %s lists %d types but refers to %d schemas", name, len(d.types), len(d.frames))
	}
	return d, nil
}
