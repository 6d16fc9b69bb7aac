package realtime

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/safe-go/safe/schemas/codes"
)

// ErrExpired is what AuthorizeSubscribe, AuthorizeActivity and AuthorizePropose return, alone or
// wrapped, when the credentials that the connection was opened with are no
// longer good. The connection is closed with 4002, so that its client renews
// them and reconnects. Server.Authenticate returns it for such credentials.
var ErrExpired = errors.New("credentials are no longer good")

// ErrUnavailable is what Authenticate and AuthenticateToken return, alone or wrapped,
// when they cannot say at present who the caller is, because something that they need
// is out of reach. A request is answered with HTTP 503 and Retry-After, so that its
// client tries again with the same credentials, which after a 401 it would not; an
// authenticate frame with codes.Unavailable.
var ErrUnavailable = errors.New("credentials cannot be checked at present")

// Refusal is an error of AuthorizeSubscribe, AuthorizeActivity and AuthorizePropose that
// the client is sent; errors.As finds it also where it is wrapped. The text of any other
// error stays on the server.
type Refusal struct {
	// Code says for programs why the request is refused: one of the
	// application's own, or one of package codes in its documented meaning. Empty:
	// codes.UnauthorizedSubscribe or codes.Unauthorized.
	Code string
	// Message says it for people. Empty: a text that names the ShareData and the
	// function.
	Message string
	// RetryAfter is the time after which the same request may succeed, rounded up
	// to milliseconds; 0 where that is not known.
	RetryAfter time.Duration
}

// Error returns the message and the code.
func (r *Refusal) Error() string {
	return fmt.Sprintf("refused with code %q: %s", r.Code, r.Message)
}

// refusal is what the client is sent about an error of a hook. The code and the
// text are used where the error is no Refusal or does not have them.
func refusal(err error, code, text string) failure {
	f := failure{code: code, text: text}
	if r, ok := errors.AsType[*Refusal](err); ok && r != nil {
		f = failure{code: cmp.Or(r.Code, code), text: cmp.Or(r.Message, text), retryAfter: r.RetryAfter}
	}
	return f
}

var errHookPanicked = errors.New("the hook panicked")

// authorize calls a hook. One that panics refuses.
func (s *session) authorize(hook string, call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			s.server.log.Error(hook+" panicked", "connection", s.name, "panic", value, "stack", string(debug.Stack()))
			err = errHookPanicked
		}
	}()
	err = call()
	if errors.Is(err, ErrExpired) {
		s.close(codes.CloseUnauthorized, "the credentials are no longer good; renew them and reconnect")
	}
	if err != nil {
		s.server.log.Debug(hook+" refused", "connection", s.name, "error", err)
	}
	return err
}
