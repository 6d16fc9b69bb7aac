package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// maxAbandoned bounds the runs of one function that go on after their deadline.
// Nothing can stop a goroutine from outside; without a bound, a function that
// loops for ever would cost one more processor with every proposal.
const maxAbandoned = 16

// evaluation is what came of one run of a function.
type evaluation struct {
	state json.RawMessage
	err   error
}

// evaluate runs a function on a goroutine of its own, so that one that panics,
// loops or blocks past its deadline harms one proposal. The error is nil, a
// *Rejection, an *InputError or a *FunctionError.
func (w *worker) evaluate(ctx context.Context, f *Function, timeout time.Duration, state, data json.RawMessage, logger *slog.Logger) (json.RawMessage, error) {
	if f.abandoned.Load() >= maxAbandoned {
		return nil, failure(f.id, ErrFunctionStuck)
	}
	if f.timeout != 0 {
		timeout = f.timeout
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	done := make(chan evaluation, 1)
	// settled is swapped by the run when it ends and by the wait when it gives
	// up: whoever comes second knows that the other was first.
	var settled atomic.Bool
	w.start(func() {
		result := evaluation{err: failure(f.id, errNoResult)} // stands if the function ends its goroutine
		defer func() {
			if value := recover(); value != nil {
				logger.Error("function panicked", "function", f.id, "panic", value, "stack", string(debug.Stack()))
				result = evaluation{err: failure(f.id, fmt.Errorf("%w: %v", ErrFunctionPanicked, value))}
			}
			done <- result
			if settled.Swap(true) {
				f.abandoned.Add(-1)
			}
		}()
		state, err := f.apply(ctx, state, data)
		result = evaluation{state: state, err: verdictOf(f.id, err)}
	})
	ended := func(result evaluation) (json.RawMessage, error) {
		if errors.Is(result.err, errNoResult) {
			w.abandon() // its goroutine has ended too
		}
		return result.state, result.err
	}
	select {
	case result := <-done:
		return ended(result)
	case <-ctx.Done():
	}
	cause := ctx.Err()
	if timeout > 0 {
		// A proposer who gives up tells the function so, but does not leave it
		// behind: who could do that at will would soon have it stuck for
		// everybody. Only where there is no deadline it is the proposer's
		// patience that counts.
		select {
		case result := <-done:
			return ended(result)
		case <-time.After(time.Until(deadline)):
		}
		cause = context.DeadlineExceeded
	}
	f.abandoned.Add(1)
	if settled.Swap(true) {
		f.abandoned.Add(-1)
		return ended(<-done)
	}
	w.abandon()
	logger.Warn("function goes on after its time is over; its result will be discarded",
		"function", f.id, "cause", cause)
	return nil, failure(f.id, cause)
}

var errNoResult = errors.New("it ended its goroutine without a result")

func failure(functionID string, err error) error {
	return &FunctionError{FunctionID: functionID, Err: err}
}

// verdictOf sorts a function's error into the two that are about the proposal
// and the rest, which are failures. It panics where the error's methods do.
func verdictOf(functionID string, err error) error {
	var rejected *Rejection
	var invalid *InputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rejected):
		return rejected
	case errors.As(err, &invalid) && invalid != nil:
		return invalid
	}
	return failure(functionID, err)
}
