package sharedata

import (
	"errors"
	"fmt"
)

// Errors of a Manager, for errors.Is. The errors that wrap them name the ShareData
// and say what to do. A change that failed did not take effect, unless errors.Is
// finds ErrOutcomeUnknown in the error.
var (
	// ErrUnknownShareData: there is no ShareData by that id.
	ErrUnknownShareData = errors.New("unknown ShareData")
	// ErrExists: there is a ShareData by that id already.
	ErrExists = errors.New("ShareData exists already")
	// ErrMoved: the ShareData is not at the cursor that UpdateIf demands.
	ErrMoved = errors.New("the ShareData has moved on")
	// ErrInvalidID: an id is empty, longer than MaxIDBytes or not UTF-8; or it has
	// control characters and is that of a ShareData to be created.
	ErrInvalidID = errors.New("invalid ShareData id")
	// ErrUnknownFunction: the ShareData has no function by that id.
	ErrUnknownFunction = errors.New("unknown function")
	// ErrUnknownKind: no kind by that name was given to NewManager, or a kind that
	// was given has a name that is empty, not UTF-8 or used twice.
	ErrUnknownKind = errors.New("unknown kind")
	// ErrInvalidFunction: a function cannot be registered or run. Its schema does
	// not compile, its timeout is below -1, its id is longer than MaxIDBytes, not
	// UTF-8 or has control characters, another function has the same id, or it requires
	// a proof where Options.ProofVerifier is not set.
	ErrInvalidFunction = errors.New("invalid function")
	// ErrInvalidInput: the proposed data is not what the function takes. The
	// error is an *InputError.
	ErrInvalidInput = errors.New("invalid input")
	// ErrInvalidState: a state is not one valid JSON value in UTF-8 of at most
	// MaxDepth levels, or does not decode as the function's type.
	ErrInvalidState = errors.New("invalid state")
	// ErrStateUnknown: the state at a position cannot be computed, because the store no
	// longer keeps a whole state before it, or an earlier release did not record what
	// an entry changed.
	ErrStateUnknown = errors.New("the state there is not known")
	// ErrInvalidKey: an idempotency key is longer than MaxKeyBytes or not UTF-8.
	ErrInvalidKey = errors.New("invalid idempotency key")
	// ErrProposingDisabled: the Resolver, as ResolveNone, allows no proposals by
	// function id.
	ErrProposingDisabled = errors.New("proposing is not enabled")
	// ErrFunctionFailed: the function returned neither a state nor a rejection.
	// The error is a *FunctionError.
	ErrFunctionFailed = errors.New("function failed")
	// ErrFunctionPanicked: the function panicked. The manager's log has the stack.
	ErrFunctionPanicked = errors.New("function panicked")
	// ErrFunctionStuck: 16 earlier runs of the function go on after their
	// deadlines. It runs again when one of them returns. Have it return when its
	// context ends.
	ErrFunctionStuck = errors.New("function is stuck")
	// ErrBusy: Options.MaxWaiting changes wait for the ShareData, or appends of
	// other processes came first for as long as Options.StoreTimeout. The same
	// change may succeed later.
	ErrBusy = errors.New("too many proposals wait for this ShareData")
	// ErrOutcomeUnknown: it is not known whether the change took effect. Either the
	// append to the store failed and the store does not have the entries yet, but
	// may still get them; or the caller's context ended after the turn of the change
	// had begun. Make a proposal with an idempotency key again: it takes effect at
	// most once, and gets the first verdict if there is one. For other changes, read
	// the state first.
	ErrOutcomeUnknown = errors.New("it is not known whether the change took effect")
	// ErrStore: a call of the store failed or took longer than
	// Options.StoreTimeout. The error is a *StoreError. The same call may succeed
	// later.
	ErrStore = errors.New("store failed")
	// ErrClosed: the manager was closed.
	ErrClosed = errors.New("manager is closed")
)

// FunctionError says why a function failed: it returned an error other than a
// *Rejection, panicked, or missed its deadline. The proposal left no entry, so it
// may be made again. errors.Is finds ErrFunctionFailed and the cause in it.
type FunctionError struct {
	// FunctionID is the function's.
	FunctionID string
	// Err is the cause: the function's own error, ErrFunctionPanicked,
	// ErrFunctionStuck, ErrInvalidState for a state that does not decode as its
	// type or a result that is not a state, context.DeadlineExceeded after its
	// deadline, or without a deadline the error of the proposer's context.
	Err error
}

// Error names the function and the cause.
func (e *FunctionError) Error() string {
	return fmt.Sprintf("%v: %q: %v", ErrFunctionFailed, e.FunctionID, e.Err)
}

// Unwrap returns ErrFunctionFailed and the cause.
func (e *FunctionError) Unwrap() []error { return []error{ErrFunctionFailed, e.Err} }

// StoreError says which call of the store failed. errors.Is finds ErrStore and the
// cause in it, and ErrOutcomeUnknown where the change may have taken effect.
type StoreError struct {
	// ShareDataID is the ShareData's; empty for List.
	ShareDataID string
	// Operation is "load", "append", "read", "find" or "list".
	Operation string
	// Err is the store's error.
	Err error
	// OutcomeUnknown is set for an append that may have taken effect.
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
