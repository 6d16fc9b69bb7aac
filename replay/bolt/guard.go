package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// guarded calls do, which looks at the file through bbolt, and turns a panic
// into a *panicError. bbolt reads the file as memory and trusts it: a page that
// is not what it should be is a panic, and one that cannot be read, because the
// disk failed or somebody has cut the file, would end the process.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason: reason, stack: debug.Stack()}
		}
	}()
	return do()
}

// panicError is an ErrDamaged that began as a panic.
type panicError struct {
	reason any
	stack  []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("%v: it cannot be read on: %v", ErrDamaged, e.reason)
}

func (e *panicError) Unwrap() error { return ErrDamaged }

func panicked(err error) bool {
	_, found := errors.AsType[*panicError](err)
	return found
}
