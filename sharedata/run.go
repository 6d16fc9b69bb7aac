package sharedata

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Run evaluates one proposal without a manager, for tests of functions: it checks
// the data against the schema, decodes, applies the deadline (by default that of
// Options.FunctionTimeout, 5 s), and returns the new state, which is stored
// nowhere. State and data are raw JSON (json.RawMessage) or values that
// encoding/json marshals. CallerFrom finds the caller of WithCaller in the
// context.
//
// The error is a *Rejection where the function rejects, an *InputError where the
// data is not what it takes, and a *FunctionError where it fails, panics or
// misses its deadline. It is ErrInvalidFunction for a function that cannot be
// registered, ErrInvalidState for a state that is not JSON, and the context's if
// that ended before.
func (f *Function) Run(ctx context.Context, state, data any) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	rawState, err := toState(state)
	if err != nil {
		return nil, fmt.Errorf("run %.60q: %w", f.id, err)
	}
	rawData, err := toJSON(data)
	if err != nil {
		return nil, invalidInput(f.id, "", err.Error())
	}
	if err := f.checkInput(rawData); err != nil {
		return nil, err
	}
	return newSoloRun().run(ctx, f, rawState, rawData)
}

// soloRun is the callHost of one call on a goroutine of its own, which is left behind
// when the call overruns its deadline.
type soloRun struct{ replaced chan error }

func newSoloRun() *soloRun { return &soloRun{replaced: make(chan error, 1)} }

func (s *soloRun) run(ctx context.Context, f *Function, state, data json.RawMessage) (json.RawMessage, error) {
	if f.calls.abandoned.Load() >= maxAbandoned {
		return nil, failure(f.id, ErrFunctionStuck)
	}
	call := &functionCall{host: s, function: f}
	call.parent = ctx
	if timeout := f.timeoutOr(defaultFunctionTimeout); timeout > 0 {
		call.deadline = time.Now().Add(timeout)
		watchdog := time.AfterFunc(timeout, func() { call.abandon(context.DeadlineExceeded) })
		defer watchdog.Stop()
	} else {
		defer context.AfterFunc(ctx, func() { call.abandon(ctx.Err()) })()
	}
	ended := make(chan result, 1)
	go func() {
		by, err := call.run(state, data)
		if by.state == nil && err == nil {
			by.state = state
		}
		if call.end() {
			ended <- result{effect: by, err: err}
		}
	}()
	select {
	case r := <-ended:
		return r.effect.state, r.err
	case cause := <-s.replaced:
		return nil, failure(f.id, cause)
	}
}

// replace implements callHost.
func (s *soloRun) replace(_ *functionCall, cause error) { s.replaced <- cause }

// logPanic implements callHost: the error of Run has the panic.
func (s *soloRun) logPanic(*functionCall, any) {}
