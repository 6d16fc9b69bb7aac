package auth

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/realtime"
)

// Errors of authentication; errors.Is finds them. Their texts say what is wrong, for
// the log of the server, and never contain a token.
var (
	// ErrNoToken: the request carries no token in any of the places that Options allow.
	ErrNoToken = errors.New("no token; send it in the header Authorization: Bearer")
	// ErrInvalidToken: the token is refused. It is in every error about a token.
	ErrInvalidToken = errors.New("invalid token")
	// ErrTokenExpired: the token was good and has expired; its owner needs a new one.
	// Such an error is ErrInvalidToken too.
	ErrTokenExpired = errors.New("the token has expired")
	// ErrKeysUnavailable: the keys of the issuer cannot be had at present, so that
	// nothing is known about the token. Such an error is realtime.ErrUnavailable too.
	ErrKeysUnavailable = fmt.Errorf("the keys of the issuer are not available: %w", realtime.ErrUnavailable)
)

// ErrRefused: an authorizer of this package refuses a request.
var ErrRefused = errors.New("not allowed")

// ErrInvalidOption: an option, a URL or a key given to this package cannot be used.
var ErrInvalidOption = option.ErrInvalid

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalidToken, fmt.Errorf(format, args...))
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}
