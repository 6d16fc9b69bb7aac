package client

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/schemas/codes"
)

// This file decides, without goroutine, clock or socket, what follows the end
// of a connection, or of an attempt to make one:
//
//	4001 fell behind             at once
//	4002, HTTP 401 unauthorized  at once with a new token; without a source of
//	                             tokens stop for good
//	4003 unknown ShareData       at once, without the subscription it was about
//	4004 invalid message,        at once, without what it was about; if several
//	1009 message too big         proposals may be, they are sent one at a time;
//	                             if nothing may be, 4004 stops for good
//	anything else                after a backoff
//
// "At once" holds once: until a connection made progress, the next one waits
// for its backoff, whatever ended it.

// connectionEnd says how a connection, or an attempt to make one, ended.
type connectionEnd struct {
	// code is that of the server's close frame, status that of its HTTP answer
	// to an attempt; 0 where there was none.
	code   int
	status int
	// err is the cause in words.
	err error
	// received: a frame was received. progressed: a subscription got further, or
	// a call was answered. lived is how long the connection was open.
	received   bool
	progressed bool
	lived      time.Duration
	// attributed: what the server complained about last is known and is not going
	// to be sent again.
	attributed bool
}

// stableAfter is how long a connection must live to count as good without
// having carried anything.
const stableAfter = 10 * time.Second

// decision says what follows an connectionEnd: stop for good with the error, or
// connect after the delay.
type decision struct {
	stop  error
	delay time.Duration
}

// reconnector decides. It belongs to one goroutine.
type reconnector struct {
	never    bool
	hasToken bool
	backoff  *backoff.ExponentialBackOff
	// immediate: the last reconnect was made at once, and nothing good has come
	// of it so far.
	immediate bool
}

func newReconnector(b Backoff, hasToken bool) *reconnector {
	return &reconnector{never: b.Initial == off, hasToken: hasToken, backoff: newBackoff(b)}
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
	if stable || e.progressed || e.received && e.code != codes.CloseFellBehind {
		r.backoff.Reset()
	}
	if stable || e.progressed {
		r.immediate = false
	}

	stop, atOnce := r.never, false
	switch {
	case e.code == codes.CloseUnauthorized, e.status == 401:
		stop, atOnce = stop || !r.hasToken, true
	case e.code == codes.CloseInvalidMessage:
		stop, atOnce = stop || !e.attributed, true
	case e.code == codes.CloseUnknownShareData, e.code == messageTooBig:
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
