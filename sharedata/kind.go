package sharedata

import (
	"context"
	"fmt"
)

// Kind is a named set of functions. The name is stored with every ShareData of
// the kind, so that a ShareData comes back from the store with its functions.
type Kind struct {
	// Name must not be empty and not change from one release to the next.
	Name string
	// Functions are the kind's.
	Functions []*Function
}

// NewKind returns a Kind.
func NewKind(name string, functions ...*Function) Kind {
	return Kind{Name: name, Functions: functions}
}

// Functions are those registered for one ShareData.
type Functions []*Function

// ByID returns the function with the id, or nil. Functions without an id are
// never found.
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

// check refuses functions that could not be called, and an id that stands for
// two of them.
func (f Functions) check() error {
	seen := make(map[string]bool, len(f))
	for i, function := range f {
		if function == nil {
			return fmt.Errorf("%w: number %d is nil", ErrInvalidFunction, i+1)
		}
		if err := function.check(); err != nil {
			return err
		}
		if function.id != "" && seen[function.id] {
			return fmt.Errorf("%w: the id %q is given to two functions", ErrInvalidFunction, function.id)
		}
		seen[function.id] = true
	}
	return nil
}

// Resolver decides which function a proposal's functionId means. It is called
// for every proposal that names its function by id, from any number of
// goroutines, before the proposal joins the queue, so it may block without
// holding up others. registered are the ShareData's functions; the caller is
// in the context. Returning nil without an error means ErrUnknownFunction. It
// must not change registered.
type Resolver func(ctx context.Context, shareDataID, functionID string, registered Functions) (*Function, error)

// ResolveByID is the default Resolver: the id is looked up among the
// ShareData's functions.
func ResolveByID(_ context.Context, _, functionID string, registered Functions) (*Function, error) {
	return registered.ByID(functionID), nil
}

// ResolveNone is the Resolver that switches proposing by id off: it fails with
// ErrProposingDisabled.
func ResolveNone(context.Context, string, string, Functions) (*Function, error) {
	return nil, ErrProposingDisabled
}
