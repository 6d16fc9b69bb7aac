package sharedata

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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
	var w worker
	defer w.stop()
	return w.evaluate(ctx, f, defaultFunctionTimeout, rawState, rawData, slog.New(slog.DiscardHandler))
}
