package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Permanent marks the error of a token source as final: where Options.Token
// returns it, the client stops for good, and everything that waits or is called
// later fails with ErrClosed and this error. Any other error of a token source
// is a failed attempt to connect, after which the client tries again. The result
// wraps err; it is nil where err is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}

// StaticToken returns a source for Options.Token whose token never changes. When
// the server rejects the token, the client stops for good with ErrUnauthorized:
// the same token again would be rejected again.
//
// The client draws this conclusion for no other source. One that returns a
// rejected token again, maybe from a cache, is asked again after a backoff, for
// as long as the client lives; until then errors of calls name the rejection.
func StaticToken(token string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if rejected, ok := RejectedToken(ctx); ok && rejected == token {
			return "", Permanent(fmt.Errorf("the server rejected the static token: %w", ErrUnauthorized))
		}
		return token, nil
	}
}

// RejectedToken returns the token that the server rejected last, with HTTP 401,
// close code 4002 or, for a token that was to replace another one, the code
// "invalid-token", from the context that Options.Token is called with. A source that
// caches its token renews it then. There is none after the source returned another
// token or the server accepted the token after all.
func RejectedToken(ctx context.Context) (token string, ok bool) {
	token, ok = ctx.Value(rejectedTokenKey{}).(string)
	return token, ok
}

// ExpiringToken returns the token of the open connection and the time, by this
// process's clock, at which the server will end the connection because the token
// expires, from the context that Options.Token is called with. There is one where
// the client asks for the next token in time. A source that caches its token renews
// it then; one that returns the same token again is asked again, before the token
// expires.
func ExpiringToken(ctx context.Context) (token string, expiresAt time.Time, ok bool) {
	expiring, ok := ctx.Value(expiringTokenKey{}).(expiringToken)
	return expiring.token, expiring.expiresAt, ok
}

type (
	expiringTokenKey struct{}
	expiringToken    struct {
		token     string
		expiresAt time.Time
	}
)

func withExpiringToken(ctx context.Context, token string, expiresAt time.Time) context.Context {
	return context.WithValue(ctx, expiringTokenKey{}, expiringToken{token, expiresAt})
}

type rejectedTokenKey struct{}

func withRejectedToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, rejectedTokenKey{}, token)
}

// redacted stands in texts where a token was.
const redacted = "[token]"

// withoutToken returns the error with a text that does not contain the token.
func withoutToken(err error, token string) error {
	text := redact(err.Error(), token)
	if text == err.Error() {
		return err
	}
	return &redactedError{text, err}
}

func redact(text, token string) string {
	if token == "" {
		return text
	}
	return strings.NewReplacer(token, redacted, url.QueryEscape(token), redacted).Replace(text)
}

// redactedError does not unwrap to the error, whose text contains a token.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }
