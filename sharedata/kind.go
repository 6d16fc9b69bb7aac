package sharedata

import (
	"context"
	"fmt"
)

// Kind is a named set of functions. The name is stored with every ShareData of
// the kind, so a later process that loads the ShareData knows its functions.
type Kind struct {
	// Name is not empty, and stays the same from one release to the next.
	Name string
	// Functions are those of every ShareData of the kind.
	Functions []*Function
}

// NewKind returns a Kind.
func NewKind(name string, functions ...*Function) Kind {
	return Kind{Name: name, Functions: functions}
}

// Functions are the functions that are registered for one ShareData: its own, and
// then those of its kind.
type Functions []*Function

// ByID returns the first function with the id, or nil. It never returns one
// without an id.
func (f Functions) ByID(id string) *Function {
	if id == "" {
		return nil
	}
	for _, function := range f {
		if function.id == id {
			return function
		}
	}
	return nil
}

// check returns ErrInvalidFunction where one of the functions cannot be called or
// two have the same id.
func (f Functions) check() error {
	seen := make(map[string]bool, len(f))
	for i, function := range f {
		if function == nil {
			return fmt.Errorf("%w: function %d of %d is nil", ErrInvalidFunction, i+1, len(f))
		}
		if err := function.check(); err != nil {
			return err
		}
		if function.id != "" && seen[function.id] {
			return fmt.Errorf("%w: two functions have the id %q", ErrInvalidFunction, function.id)
		}
		seen[function.id] = true
	}
	return nil
}

// Resolver decides which function a proposal's FunctionID means. It is called
// for every proposal that names its function by id, from any number of
// goroutines, usually before the proposal waits for its turn. On a store that
// processes share, it may be called again during the turn, where another process has
// created the ShareData again, and then delays the ShareData by up to
// Options.FunctionTimeout: it should return soon. registered are the ShareData's functions, which
// it must not change; CallerFrom finds the caller in the context. Returning nil
// without an error means ErrUnknownFunction.
type Resolver func(ctx context.Context, shareDataID, functionID string, registered Functions) (*Function, error)

// ResolveByID is the default Resolver: it returns registered.ByID(functionID).
func ResolveByID(_ context.Context, _, functionID string, registered Functions) (*Function, error) {
	return registered.ByID(functionID), nil
}

// ResolveNone is a Resolver that switches proposing by id off: it always fails
// with ErrProposingDisabled.
func ResolveNone(context.Context, string, string, Functions) (*Function, error) {
	return nil, ErrProposingDisabled
}
