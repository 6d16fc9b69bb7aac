package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// maxAbandoned bounds the calls of one function that go on after their deadline.
// Nothing can stop a goroutine from outside; without a bound, a function that
// loops for ever would cost one more processor with every proposal.
const maxAbandoned = 16

// functionCalls is what the copies of one function share.
type functionCalls struct {
	// abandoned counts the calls that go on after their deadline.
	abandoned atomic.Int32
	// slow says that the last call took longer than Options.MaxBatchTime.
	slow     atomic.Bool
	failures logLimiter
}

// functionCall is one call of a function, and the context that the function is
// given.
//
// The function runs on the goroutine that commits. If it overruns its deadline,
// that goroutine is abandoned: another one takes its place, and the function ends
// on the old one, where nobody waits for it.
type functionCall struct {
	deadlineContext
	shareData *shareData
	request   *request
	// over is swapped when the function ends, and when the call is abandoned. The
	// first of the two decides.
	over atomic.Bool
}

var (
	errDeadline = context.DeadlineExceeded
	errNoResult = errors.New("it ended its goroutine without a result")
)

// evaluate runs the request's function on the state and sets the request's result.
// It returns false if this goroutine was replaced meanwhile: then the ShareData
// belongs to another one and must not be touched.
func (s *shareData) evaluate(w *worker, r *request, state json.RawMessage) bool {
	f := r.change.function
	r.result = result{before: state}
	if f.calls.abandoned.Load() >= maxAbandoned {
		r.result.err = failure(f.id, ErrFunctionStuck)
		s.logFailure(r)
		return true
	}
	call := &functionCall{shareData: s, request: r}
	began := time.Now()
	call.parent = r.ctx
	timeout := s.manager.options.FunctionTimeout
	if f.timeout != 0 {
		timeout = f.timeout
	}
	if timeout > 0 {
		// A proposer who gives up tells the function so through the context, but
		// does not abandon it: a proposer who could do that at will would soon have
		// it stuck for everybody.
		call.deadline = began.Add(timeout)
		w.calling.Store(call)
		w.watchdog.Reset(timeout)
	} else if r.ctx.Done() != nil {
		defer context.AfterFunc(r.ctx, func() { call.abandon(r.ctx.Err()) })()
	}
	next, err := call.run(f, state, r.change.data)
	if timeout > 0 {
		w.watchdog.Stop()
		w.calling.Store(nil)
	}
	call.cancel()
	f.calls.slow.Store(s.manager.isSlow(time.Since(began)))
	if call.over.Swap(true) {
		f.calls.abandoned.Add(-1)
		return false
	}
	r.result.state, r.result.err = next, err
	s.logFailure(r)
	return true
}

// run calls the function, and makes a panic an error.
func (c *functionCall) run(f *Function, state, data json.RawMessage) (next json.RawMessage, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		value := recover()
		if value == nil {
			// The function ends the goroutine (runtime.Goexit), so another one has
			// to go on.
			c.abandon(errNoResult)
			f.calls.abandoned.Add(-1)
			return
		}
		next, err = nil, failure(f.id, fmt.Errorf("%w: %v", ErrFunctionPanicked, value))
		if unlogged, ok := f.calls.failures.allow(time.Now()); ok {
			c.shareData.manager.options.Logger.Error("function panicked",
				"shareData", c.shareData.id, "function", f.id, "panic", value, "stack", string(debug.Stack()), "unlogged", unlogged)
		}
	}()
	next, err = f.apply(c, state, data)
	err = sortError(f.id, err)
	returned = true
	return next, err
}

// abandon has another goroutine go on in place of the function's, unless the
// function has ended.
func (c *functionCall) abandon(cause error) {
	if c.over.Swap(true) {
		return
	}
	s, f := c.shareData, c.request.change.function
	f.calls.abandoned.Add(1)
	f.calls.slow.Store(true)
	c.end(context.DeadlineExceeded)
	c.request.result = result{err: failure(f.id, cause), final: true}
	s.logFailure(c.request)
	s.manager.workers.resume(s)
}

// logFailure logs that the request's function came to no verdict; of many failures
// of one function within a second, the first.
func (s *shareData) logFailure(r *request) {
	failed, ok := r.result.err.(*FunctionError)
	if !ok || errors.Is(failed.Err, ErrFunctionPanicked) {
		return // a panic is logged with its stack
	}
	unlogged, ok := r.change.function.calls.failures.allow(time.Now())
	if !ok {
		return
	}
	var subject string
	if r.change.caller != nil {
		subject = r.change.caller.Subject
	}
	message := "function failed"
	if r.result.final && !errors.Is(failed.Err, errNoResult) {
		message = "function overran its deadline; it goes on, and its result will be discarded"
	}
	s.manager.options.Logger.Warn(message, "shareData", s.id, "function", failed.FunctionID,
		"subject", subject, "connection", r.proposer.connection, "error", failed.Err, "unlogged", unlogged)
}

func failure(functionID string, err error) error {
	return &FunctionError{FunctionID: functionID, Err: err}
}

// sortError sorts a function's error into the two that are about the proposal and
// the rest, which are failures. It panics where the error's methods do.
func sortError(functionID string, err error) error {
	if err == nil {
		return nil
	}
	if rejected, ok := errors.AsType[*Rejection](err); ok && rejected != nil {
		return rejected
	}
	if invalid, ok := errors.AsType[*InputError](err); ok && invalid != nil {
		return invalid
	}
	return failure(functionID, err)
}
