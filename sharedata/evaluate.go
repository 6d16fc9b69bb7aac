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

// maxAbandoned is how many calls of one function may go on after their deadline
// before no new one is begun. Nothing can stop a goroutine from outside; without a
// bound, a function that loops for ever would cost one more processor with every
// proposal.
const maxAbandoned = 16

// functionCalls is what the copies of one function share.
type functionCalls struct {
	// abandoned counts the calls that go on after their deadline.
	abandoned atomic.Int32
	// slow says that the last call took longer than Options.MaxBatchTime, or was
	// abandoned.
	slow     atomic.Bool
	failures logLimiter
}

// functionCall is one call of a function, and the context that the function is
// given.
//
// The function runs on the goroutine that waits for it. If it overruns its deadline,
// the call is abandoned: the host goes on without that goroutine, which exits when the
// function returns, and the result is discarded.
type functionCall struct {
	deadlineContext
	host       callHost
	function   *Function
	request    *request    // of a ShareData; nil for Function.Run
	proofCheck *proofCheck // verified before the function runs; nil for no proof
	earlier    *result     // of the function on the same state; nil for none
	// over is swapped when the function ends, and when the call is abandoned. The
	// first of the two decides.
	over atomic.Bool
}

// callHost is the party for which a function is called: a ShareData, or
// Function.Run.
type callHost interface {
	// replace goes on without the goroutine of a call that was abandoned, on the
	// goroutine that abandons it.
	replace(call *functionCall, cause error)
	// logPanic logs a panic with its stack. It is called inside the deferred call
	// that recovers it.
	logPanic(call *functionCall, value any)
}

var errNoResult = errors.New("it ended its goroutine without a result")

// evaluate verifies the proof of the request at the position, if there is one, runs the
// function on the state there, and sets the request's result. It returns false if this
// goroutine was replaced meanwhile: then the ShareData belongs to another one and must
// not be touched.
func (s *shareData) evaluate(w *worker, r *request, at *position) bool {
	f, earlier := r.change.function, r.result
	r.result = result{before: at.state}
	if f.calls.abandoned.Load() >= maxAbandoned {
		r.result.err = failure(f.id, ErrFunctionStuck)
		s.logFailure(r)
		return true
	}
	call := &functionCall{host: s, function: f, request: r, proofCheck: s.newProofCheck(&r.change, at)}
	if earlier.isOf(at.state) {
		same := earlier // a copy, so that only this rare case costs memory
		call.earlier = &same
	}
	call.parent = r.ctx
	began := time.Now()
	timeout := f.timeoutOr(s.manager.options.FunctionTimeout)
	if timeout > 0 {
		// A proposer who gives up tells the function so through the context, but
		// does not abandon it: a proposer who could do that at will would soon have
		// it stuck for everybody.
		call.deadline = began.Add(timeout)
		w.calling.Store(call)
		w.watchdog.Reset(timeout)
	} else if r.ctx.Done() != nil {
		// Without a deadline, nothing else gives the goroutine back.
		defer context.AfterFunc(r.ctx, func() { call.abandon(r.ctx.Err()) })()
	}
	by, err := call.run(at.state, r.change.data)
	if timeout > 0 {
		w.watchdog.Stop()
		w.calling.Store(nil)
	}
	f.calls.slow.Store(s.manager.isSlow(time.Since(began)))
	if !call.end() {
		return false
	}
	r.result.effect, r.result.err = by, err
	switch {
	case call.proofCheck == nil:
	case call.proofCheck.accepted:
		r.result.provenAt = at.cursor
	default:
		r.result = result{err: err} // the function was not run
	}
	s.logFailure(r)
	return true
}

// run verifies the proof and calls the function, and makes a panic an error.
func (c *functionCall) run(state, data json.RawMessage) (by effect, err error) {
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
			c.function.calls.abandoned.Add(-1)
			return
		}
		by, err = effect{}, failure(c.function.id, fmt.Errorf("%w: %v", ErrFunctionPanicked, value))
		c.host.logPanic(c, value)
	}()
	if c.proofCheck != nil {
		err = c.proofCheck.verify(c)
	}
	switch {
	case err != nil:
	case c.earlier != nil:
		by, err = c.earlier.effect, c.earlier.err
	default:
		by, err = c.function.apply(c, state, data)
		err = sortError(c.function.id, err)
	}
	returned = true
	return by, err
}

// end ends the call after its function has. It returns false if the call was
// abandoned before.
func (c *functionCall) end() bool {
	c.cancel()
	if c.over.Swap(true) {
		c.function.calls.abandoned.Add(-1)
		return false
	}
	return true
}

// abandon has the host go on without the function's goroutine, unless the function
// has ended.
func (c *functionCall) abandon(cause error) {
	if c.over.Swap(true) {
		return
	}
	c.function.calls.abandoned.Add(1)
	c.function.calls.slow.Store(true)
	ended := cause
	if cause == errNoResult {
		ended = context.Canceled
	}
	c.endWith(ended)
	c.host.replace(c, cause)
}

// replace implements callHost: another goroutine goes on with the requests.
func (s *shareData) replace(c *functionCall, cause error) {
	c.request.result = result{err: failure(c.function.id, cause), final: true}
	s.logFailure(c.request)
	s.manager.workers.resume(s)
}

// logPanic implements callHost.
func (s *shareData) logPanic(c *functionCall, value any) {
	if unlogged, ok := c.function.calls.failures.allow(time.Now()); ok {
		s.manager.options.Logger.Error("function panicked",
			"shareData", s.id, "function", c.function.id, "panic", value, "stack", string(debug.Stack()), "unlogged", unlogged)
	}
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
		message = "function was abandoned; it goes on, and its result will be discarded"
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
