package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Caller is who proposes. Treat it as immutable once it was handed over.
type Caller struct {
	// Subject names the caller. It is recorded in the transaction, and
	// idempotency keys of different subjects never meet.
	Subject string
	// Claims is what else is to be recorded of the caller: one JSON value, or
	// nil for nothing.
	Claims json.RawMessage
	// Value is not recorded: whatever an authenticator has to tell authorizers,
	// resolvers and functions.
	Value any
}

type callerKey struct{}

// WithCaller returns a context that carries the caller: for Create, Update,
// Remove and proposals that do not name one.
func WithCaller(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// CallerFrom returns the caller that the context carries, or nil. Functions
// and resolvers find the proposal's caller so.
func CallerFrom(ctx context.Context) *Caller {
	caller, _ := ctx.Value(callerKey{}).(*Caller)
	return caller
}

// ErrInvalidCaller: a caller's Subject is not UTF-8, or its Claims are not one
// JSON value, so that they cannot be recorded.
var ErrInvalidCaller = errors.New("invalid caller")

func (c *Caller) check() error {
	if c == nil {
		return nil
	}
	if !utf8.ValidString(c.Subject) {
		return fmt.Errorf("%w: its subject %.60q is not UTF-8", ErrInvalidCaller, c.Subject)
	}
	if c.Claims != nil {
		if err := validJSON(c.Claims); err != nil {
			return fmt.Errorf("%w: its claims: %w", ErrInvalidCaller, err)
		}
	}
	return nil
}
