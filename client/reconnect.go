package client

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/schemas/codes"
)

// This file decides, without goroutine, clock or socket, what follows the end
// of a connection, or of an attempt to make one:
//
//	4001 fell behind             reconnect at once
//	4002, HTTP 401 unauthorized  at once, with a token from Options.Token; without
//	                             Options.Token stop for good
//	4003 unknown ShareData       at once, without the subscription it is about
//	1008 policy violation        a limit was exceeded again and again: after a backoff
//	                             that grows until a connection has lived for ten seconds
//	4004 invalid message,        at once, without the frame it is about; if several
//	1009 message too big         proposals may be, they are sent one at a time; if
//	                             no frame may be, 4004 stops for good
//	Permanent error of the token source
//	                             stop for good
//	anything else                after a backoff
//
// "At once" is allowed once. Until a connection has made progress, the next
// attempt waits for its backoff, however the connection ended.

// connectionEnd says how a connection, or an attempt to make one, ended.
type connectionEnd struct {
	// code is that of the server's close frame, status that of its HTTP answer
	// to an attempt; 0 where there was none.
	code   int
	status int
	// err is the cause.
	err error
	// received: a frame was received. progressed: a subscription received an
	// event, or a call its reply. lived is how long the connection was open.
	received   bool
	progressed bool
	lived      time.Duration
	// attributed: the frame for which the server closed is known and is not sent
	// again.
	attributed bool
}

// unauthorized reports whether the server did not accept the credential.
func (e connectionEnd) unauthorized() bool {
	return e.code == codes.CloseUnauthorized || e.status == 401
}

// stableAfter is how long a connection must live to count as good without
// having carried anything.
const stableAfter = 10 * time.Second

// decision says what follows: stop for good with the error, or connect after the
// delay.
type decision struct {
	stop  error
	delay time.Duration
}

// reconnector decides. It belongs to one goroutine.
type reconnector struct {
	disabled bool
	hasToken bool
	backoff  *backoff.ExponentialBackOff
	// immediate: the last reconnect was made at once, and no connection has made
	// progress since.
	immediate bool
}

func newReconnector(b Backoff, hasToken bool) *reconnector {
	return &reconnector{disabled: b.Initial == off, hasToken: hasToken, backoff: newBackoff(b)}
}

func newBackoff(b Backoff) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(b.Initial),
		backoff.WithMaxInterval(b.Max),
		backoff.WithMultiplier(b.Factor),
		backoff.WithRandomizationFactor(b.Jitter),
		backoff.WithMaxElapsedTime(0),
	)
}

// next decides what follows e.
func (r *reconnector) next(e connectionEnd) decision {
	stable := e.lived >= stableAfter
	good := e.received && e.code != codes.CloseFellBehind || e.progressed
	if stable || good && e.code != codes.ClosePolicyViolation {
		r.backoff.Reset()
	}
	if stable || e.progressed {
		r.immediate = false
	}

	stop, atOnce := r.disabled || isPermanent(e.err), false
	switch {
	case e.unauthorized():
		stop, atOnce = stop || !r.hasToken, true
	case e.code == codes.CloseInvalidMessage:
		stop, atOnce = stop || !e.attributed, true
	case e.code == codes.CloseUnknownShareData, e.code == closeMessageTooBig:
		atOnce = e.attributed
	case e.code == codes.CloseFellBehind:
		atOnce = true
	}
	switch {
	case stop:
		return decision{stop: e.err}
	case atOnce && !r.immediate:
		r.immediate = true
		return decision{}
	}
	return decision{delay: r.backoff.NextBackOff()}
}
