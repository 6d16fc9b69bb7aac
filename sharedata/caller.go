package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Caller is the party that makes a proposal or a change. Do not change it after
// it was passed to a Manager.
type Caller struct {
	// Subject identifies the caller. It is recorded in the entry. Each subject has
	// idempotency keys of its own.
	Subject string
	// Claims is what else is recorded about the caller: one JSON value, or nil for
	// nothing.
	Claims json.RawMessage
	// Value is for what an authenticator knows and authorizers, resolvers and
	// functions need. It is not recorded.
	Value any
}

type callerKey struct{}

// WithCaller returns a context that carries the caller. Create, Ensure, Update and
// Remove record it, and so do proposals without a Caller of their own.
func WithCaller(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// CallerFrom returns the caller that the context carries, or nil. The context of
// functions and resolvers carries the proposal's.
func CallerFrom(ctx context.Context) *Caller {
	caller, _ := ctx.Value(callerKey{}).(*Caller)
	return caller
}

// ErrInvalidCaller: a caller cannot be recorded, because its Subject is not UTF-8
// or its Claims are not one JSON value of at most MaxDepth levels.
var ErrInvalidCaller = errors.New("invalid caller")

// check returns ErrInvalidCaller for a caller that cannot be recorded.
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
