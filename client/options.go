package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Options configures a Client. The zero value and nil are good. Where a field
// says so, -1 switches the thing off; any other negative value is an error.
type Options struct {
	// HTTPClient makes the handshake; its Transport decides how the server is
	// reached. Default: http.DefaultClient.
	HTTPClient *http.Client
	// Header is sent with every handshake. Default: none.
	Header http.Header
	// Token is asked for a credential before every attempt to connect, from
	// one goroutine at a time. The context ends with the attempt. An empty
	// text sends none. Default: nil, no credential; then a server that answers
	// "unauthorized" stops the client for good.
	Token func(ctx context.Context) (string, error)
	// TokenInQuery sends the token as the query parameter "token" instead of
	// the header "Authorization: Bearer". Query parameters end up in the logs
	// of proxies: prefer the header. Default: false.
	TokenInQuery bool

	// ConnectTimeout bounds one attempt to connect, the token included.
	// Default: 15 s; -1: no bound.
	ConnectTimeout time.Duration
	// HeartbeatInterval is the time between WebSocket pings (RFC 6455 section
	// 5.5.2). A connection whose ping is not answered within one interval is
	// given up. Default: 30 s; -1: no pings.
	HeartbeatInterval time.Duration
	// Backoff spaces the attempts to reconnect.
	Backoff Backoff

	// RequestTimeout bounds Propose and Ping, counted from the call, time
	// spent waiting for a connection included. Default: 30 s; -1: only the
	// call's context bounds it.
	RequestTimeout time.Duration
	// QueueSize is how many calls may wait to be sent, because there is no
	// connection or MaxInFlight are unanswered. One more fails with
	// ErrQueueFull. Default: 100; -1: none may wait.
	QueueSize int
	// MaxInFlight is how many calls may be sent and unanswered. A server
	// refuses proposals beyond a limit of its own. Default: 32.
	MaxInFlight int

	// EventBuffer is how many events of one subscription may wait for its
	// consumer. With more, the subscription pauses and catches up when the
	// consumer has taken them. Default: 1024.
	EventBuffer int
	// EventBufferBytes bounds the same in bytes. One event alone may be
	// larger. Default: 16 MiB.
	EventBufferBytes int
	// MaxMessageBytes is the size of the largest message that is read from the
	// server; a larger one ends the connection. It must have room for the
	// largest state. Default: 64 MiB; -1: no bound.
	MaxMessageBytes int64

	// Logger is told what a user cannot see otherwise. Its handler must not
	// call the client. Default: nil, silence.
	Logger *slog.Logger
}

// Backoff spaces attempts to reconnect: the first waits Initial, each further
// one Factor times as long, up to Max, each more or less by the share Jitter,
// so that clients which lost one server do not return in one moment. It starts
// over once a connection proved good: a frame was received or it lived for ten
// seconds.
type Backoff struct {
	// Initial is the first delay. Default: 500 ms; -1: never reconnect, the
	// client stops for good when its connection ends.
	Initial time.Duration
	// Max is the longest delay, before jitter. Default: 30 s.
	Max time.Duration
	// Factor is what each delay is multiplied with. Default: 2; at least 1.
	Factor float64
	// Jitter is the share of a delay by which it may be shorter or longer, up
	// to 1. Default: 0.2; -1: none.
	Jitter float64
}

// off is what a field is set to in order to switch it off.
const off = -1

// withDefaults returns a copy of o in which every field has its value, or says
// which field cannot be used. Whatever is switched off is 0 in the copy,
// except for Backoff.Initial.
func (o *Options) withDefaults() (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	if filled.HTTPClient == nil {
		filled.HTTPClient = http.DefaultClient
	}
	filled.Header = filled.Header.Clone()
	if filled.Header == nil {
		filled.Header = http.Header{}
	}
	if filled.Logger == nil {
		filled.Logger = slog.New(slog.DiscardHandler)
	}

	b := &filled.Backoff
	never := b.Initial == off
	err := firstError(
		fill("ConnectTimeout", &filled.ConnectTimeout, 15*time.Second, canSwitchOff),
		fill("HeartbeatInterval", &filled.HeartbeatInterval, 30*time.Second, canSwitchOff),
		fill("RequestTimeout", &filled.RequestTimeout, 30*time.Second, canSwitchOff),
		fill("QueueSize", &filled.QueueSize, 100, canSwitchOff),
		fill("MaxInFlight", &filled.MaxInFlight, 32, mustBePositive),
		fill("EventBuffer", &filled.EventBuffer, 1024, mustBePositive),
		fill("EventBufferBytes", &filled.EventBufferBytes, 16<<20, mustBePositive),
		fill("MaxMessageBytes", &filled.MaxMessageBytes, 64<<20, canSwitchOff),
		fill("Backoff.Initial", &b.Initial, 500*time.Millisecond, canSwitchOff),
		fill("Backoff.Max", &b.Max, 30*time.Second, mustBePositive),
		fill("Backoff.Factor", &b.Factor, 2, mustBePositive),
		fill("Backoff.Jitter", &b.Jitter, 0.2, canSwitchOff),
	)
	if err != nil {
		return Options{}, err
	}
	switch {
	case b.Factor < 1:
		return Options{}, fmt.Errorf("client: Options.Backoff.Factor is %v, it must be at least 1", b.Factor)
	case b.Jitter > 1:
		return Options{}, fmt.Errorf("client: Options.Backoff.Jitter is %v, it must be at most 1", b.Jitter)
	case b.Max < b.Initial:
		return Options{}, fmt.Errorf("client: Options.Backoff.Max is %v, less than Initial, %v", b.Max, b.Initial)
	}
	if never {
		b.Initial = off
	}
	return filled, nil
}

const (
	canSwitchOff   = true
	mustBePositive = false
)

// fill replaces 0 by the default and -1, where it is allowed, by 0.
func fill[N ~int | ~int64 | ~float64](name string, field *N, byDefault N, canBeOff bool) error {
	switch {
	case *field == 0:
		*field = byDefault
	case *field == off && canBeOff:
		*field = 0
	case !(*field > 0):
		return fmt.Errorf("client: Options.%s is %v, it must not be negative", name, *field)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
