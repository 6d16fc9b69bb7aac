package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Caller is the party that makes a proposal or a change. Do not change it after
// it was passed to a Manager.
type Caller struct {
	// Subject identifies the caller to its Issuer. It is recorded in the entry. Each
	// Subject of an Issuer has idempotency keys of its own.
	Subject string
	// Issuer names the authority that identified the caller, as the claim "iss" of a
	// token does (RFC 7519 section 4.1.1). It is recorded; empty for none.
	Issuer string
	// Audience names the services that the caller's token is for, as the claim "aud"
	// does (RFC 7519 section 4.1.3). It is recorded; nil for none.
	Audience []string
	// Claims is what else is recorded about the caller: one JSON value, or nil for
	// nothing.
	Claims json.RawMessage

	// The fields below are not recorded.

	// TokenID and IssuedAt are those of the caller's token, as the claims "jti" and
	// "iat" are (RFC 7519 section 4.1). ExpiresAt is the moment from which the token
	// is refused: the claim "exp" and what the authenticator allows for clocks that
	// differ. A server ends the connections of a caller then. They are empty or zero
	// where the token has none, and for a caller without a token.
	TokenID   string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// Value is for what an authenticator knows and authorizers, resolvers and
	// functions need.
	Value any
}

// identity is what keeps callers apart: two issuers may know different callers by
// one subject.
type identity struct{ issuer, subject string }

// identity returns that of the caller, which may be nil.
func (c *Caller) identity() identity {
	if c == nil {
		return identity{}
	}
	return identity{issuer: c.Issuer, subject: c.Subject}
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

// ErrInvalidCaller: a caller cannot be recorded, because its Subject, its Issuer or
// its Audience is not UTF-8, or its Claims are not one JSON value of at most MaxDepth
// levels.
var ErrInvalidCaller = errors.New("invalid caller")

// check returns ErrInvalidCaller for a caller that cannot be recorded.
func (c *Caller) check() error {
	if c == nil {
		return nil
	}
	for _, text := range append([]string{c.Subject, c.Issuer}, c.Audience...) {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: %.60q in its subject, issuer or audience is not UTF-8", ErrInvalidCaller, text)
		}
	}
	if c.Claims != nil {
		if err := validJSON(c.Claims); err != nil {
			return fmt.Errorf("%w: its claims: %w", ErrInvalidCaller, err)
		}
	}
	return nil
}
