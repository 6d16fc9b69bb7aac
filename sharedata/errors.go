package sharedata

import (
	"errors"
	"fmt"
)

// Errors of a Manager, to be tested with errors.Is. What they are wrapped in
// names the ShareData and says what to do.
var (
	// ErrUnknownShareData: there is no ShareData by that id.
	ErrUnknownShareData = errors.New("unknown ShareData")
	// ErrExists: there is a ShareData by that id already.
	ErrExists = errors.New("ShareData exists already")
	// ErrInvalidID: an id is empty, longer than MaxIDBytes or not UTF-8.
	ErrInvalidID = errors.New("invalid ShareData id")
	// ErrUnknownFunction: the ShareData has no function by that id.
	ErrUnknownFunction = errors.New("unknown function")
	// ErrUnknownKind: no kind by that name was given to NewManager.
	ErrUnknownKind = errors.New("unknown kind")
	// ErrInvalidFunction: a function cannot be registered: its schema does not
	// compile, its timeout is none, or its id is taken or not UTF-8.
	ErrInvalidFunction = errors.New("invalid function")
	// ErrInvalidInput: the proposed data is not what the function takes. The
	// error is an *InputError.
	ErrInvalidInput = errors.New("invalid input")
	// ErrInvalidState: a state is not one valid JSON value in UTF-8, nests deeper
	// than MaxDepth, or is not what the function takes.
	ErrInvalidState = errors.New("invalid state")
	// ErrInvalidKey: an idempotency key is longer than MaxKeyBytes or not UTF-8.
	ErrInvalidKey = errors.New("invalid idempotency key")
	// ErrProposingDisabled: the Resolver in force resolves nothing.
	ErrProposingDisabled = errors.New("proposing is not enabled")
	// ErrFunctionFailed: the function came to no verdict. The error is a
	// *FunctionError.
	ErrFunctionFailed = errors.New("function failed")
	// ErrFunctionPanicked: the function panicked; the log has its stack.
	ErrFunctionPanicked = errors.New("function panicked")
	// ErrFunctionStuck: so many runs of the function ignore that their deadline
	// is over that no further one is begun before one of them returns.
	ErrFunctionStuck = errors.New("function is stuck")
	// ErrBusy: as many changes wait for the ShareData as Options.MaxWaiting
	// allows, or other processes were first for as long as Options.StoreTimeout.
	ErrBusy = errors.New("too many proposals wait for this ShareData")
	// ErrOutcomeUnknown: it is not known whether the change took effect. The
	// append to the store failed and what became of it could not be found out in
	// time, or the caller's context ended during the append. A proposal that
	// carries an idempotency key can be made again: it takes effect at most once,
	// and gets the first verdict if there was one. Of every other error of a
	// change it is known that nothing happened.
	ErrOutcomeUnknown = errors.New("it is not known whether the change took effect")
	// ErrStore: the store failed. The error is a *StoreError.
	ErrStore = errors.New("store failed")
	// ErrClosed: the manager was closed.
	ErrClosed = errors.New("manager is closed")
)

// FunctionError says why a function came to no verdict: it returned an error
// that is no rejection, panicked, or missed its deadline. Nothing was
// recorded, so the proposal may be made again. errors.Is finds
// ErrFunctionFailed in it, and the cause.
type FunctionError struct {
	// FunctionID is the function's.
	FunctionID string
	// Err is the cause: the function's own error, ErrFunctionPanicked,
	// ErrFunctionStuck, ErrInvalidState, or the context's error.
	Err error
}

// Error names the function and the cause.
func (e *FunctionError) Error() string {
	return fmt.Sprintf("%v: %q: %v", ErrFunctionFailed, e.FunctionID, e.Err)
}

// Unwrap returns ErrFunctionFailed and the cause.
func (e *FunctionError) Unwrap() []error { return []error{ErrFunctionFailed, e.Err} }

// StoreError says that the store failed. errors.Is finds ErrStore and the cause
// in it, and ErrOutcomeUnknown where the change may have taken effect.
type StoreError struct {
	// ShareDataID is the ShareData's; empty for List.
	ShareDataID string
	// Operation is "load", "append", "read", "find" or "list".
	Operation string
	// Err is the store's error.
	Err error
	// OutcomeUnknown says that it was an append which may have taken effect.
	OutcomeUnknown bool
}

// Error names the operation, the ShareData and the cause.
func (e *StoreError) Error() string {
	return fmt.Sprintf("%v: %s of %.60q: %v", ErrStore, e.Operation, e.ShareDataID, e.Err)
}

// Unwrap returns ErrStore, the cause and, if it applies, ErrOutcomeUnknown.
func (e *StoreError) Unwrap() []error {
	if e.OutcomeUnknown {
		return []error{ErrStore, ErrOutcomeUnknown, e.Err}
	}
	return []error{ErrStore, e.Err}
}
