package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// Options configures a Client. The zero value and nil are good. Where a field
// says so, -1 switches the feature off; any other negative value is an error.
type Options struct {
	// HTTPClient makes the handshake; its Transport decides how the server is
	// reached. Default: http.DefaultClient.
	HTTPClient *http.Client
	// Header is sent with every handshake. Default: none.
	Header http.Header
	// Token returns the credential for an attempt to connect. It is called before
	// every attempt, from one goroutine at a time; the context ends with the
	// attempt. An empty text sends none. An error fails the attempt; an error
	// from Permanent stops the client for good. For a token that never changes use
	// StaticToken. Default: nil, no credential; then a server that answers
	// "unauthorized" (HTTP 401 or close code 4002) stops the client for good.
	//
	// Where the server says when the token expires and takes a new one over the open
	// connection, Token is also called when 60 to 80 % of that time has passed, at
	// random, and with a context from which ExpiringToken reads. The context ends with
	// the connection, and Token must return then: reconnecting and Close wait for it.
	// The connection goes on with the new token, which must be of the same subject and
	// issuer. If Token returns the same token or an error, or the server refuses the
	// new one, Token is called again when 60 to 80 % of what is then left has passed,
	// and so on until less than 100 ms are left. After an error from Permanent it is
	// not called again before the connection ends. A token that is not renewed in time
	// ends the connection (close code 4002), and the client reconnects and resumes with
	// the token that Token returns then.
	Token func(ctx context.Context) (string, error)
	// TokenInQuery sends the token as the query parameter "token" instead of
	// the header "Authorization: Bearer". Query parameters end up in the logs
	// of proxies: prefer the header. Default: false.
	TokenInQuery bool

	// ConnectTimeout bounds one attempt to connect, and one attempt to renew the token
	// of a connection, the call of Token included. Default: 15 s; -1: no bound.
	ConnectTimeout time.Duration
	// HeartbeatInterval is the time between WebSocket pings (RFC 6455 section
	// 5.5.2). A connection whose ping is not answered within one interval is
	// given up. Default: 30 s; -1: no pings.
	HeartbeatInterval time.Duration
	// Backoff spaces the attempts to reconnect.
	Backoff Backoff

	// RequestTimeout bounds Propose and Ping, counted from the call. It includes
	// the time without a connection and between the attempts of a proposal.
	// Default: 30 s; -1: only the call's context bounds it.
	RequestTimeout time.Duration
	// QueueSize is how many calls may wait to be sent: because there is no
	// connection, because MaxInFlight are unanswered, or to be sent again. One
	// more fails with ErrQueueFull. Default: 100; -1: none may wait for its first
	// attempt.
	QueueSize int
	// MaxInFlight is how many calls may be sent and unanswered. A server refuses
	// proposals beyond a limit of its own. Default: 32.
	MaxInFlight int

	// EventBuffer is how many events of one subscription may wait for its
	// consumer. With more, the subscription pauses and catches up when the
	// consumer has taken them. Default: 1024.
	EventBuffer int
	// EventBufferBytes bounds the same in bytes. One event alone may be
	// larger. Default: 16 MiB.
	EventBufferBytes int
	// KeptStateBytes is the size of the largest state that is kept for a subscription, in
	// bytes, besides the events that wait and the state that the last proof was for. With
	// a kept state, a server that can sends what changed instead of whole states, also
	// after a reconnect. A subscription whose state is larger goes on with whole states
	// until it ends, and misses nothing. Default: 16 MiB; -1: whole states only.
	KeptStateBytes int
	// MaxMessageBytes is the size of the largest message that is read from the
	// server; a larger one ends the connection. It must have room for the
	// largest state. Default: 64 MiB; -1: no bound.
	MaxMessageBytes int64

	// Logger takes what the API does not show. Its handler must not call the
	// client. Default: nil, nothing is logged.
	Logger *slog.Logger
}

// Backoff spaces attempts to reconnect: the first waits Initial, each further
// one Factor times as long, up to Max, each more or less by the share Jitter, so
// that the clients of one server do not all return at the same time. It is reset
// by a connection that was good: a frame was received, or it lived for ten
// seconds. After a connection that the server closed because the client exceeded a
// limit (close code 1008) only the ten seconds count.
type Backoff struct {
	// Initial is the first delay. Default: 500 ms; -1: never reconnect, the
	// client stops for good when its connection ends.
	Initial time.Duration
	// Max is the longest delay, before jitter. Default: 30 s.
	Max time.Duration
	// Factor is what each delay is multiplied with. Default: 2; at least 1.
	Factor float64
	// Jitter is the share of a delay by which it may be shorter or longer, up
	// to 1. It also holds for the delays between the attempts of a proposal.
	// Default: 0.2; -1: none.
	Jitter float64
}

// off is the value of Backoff.Initial that switches reconnecting off.
const off = -1

// withDefaults returns a copy of o in which every field has its value, or an error
// that names the field which cannot be used. A field that is switched off is 0 in
// the copy, except for Backoff.Initial.
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
	err := errors.Join(
		option.Fill("Options.ConnectTimeout", &filled.ConnectTimeout, 15*time.Second, 0),
		option.Fill("Options.HeartbeatInterval", &filled.HeartbeatInterval, 30*time.Second, 0),
		option.Fill("Options.RequestTimeout", &filled.RequestTimeout, 30*time.Second, 0),
		option.Fill("Options.QueueSize", &filled.QueueSize, 100, 0),
		option.FillPositive("Options.MaxInFlight", &filled.MaxInFlight, 32),
		option.FillPositive("Options.EventBuffer", &filled.EventBuffer, 1024),
		option.FillPositive("Options.EventBufferBytes", &filled.EventBufferBytes, 16<<20),
		option.Fill("Options.KeptStateBytes", &filled.KeptStateBytes, 16<<20, 0),
		option.Fill("Options.MaxMessageBytes", &filled.MaxMessageBytes, 64<<20, 0),
		option.Fill("Options.Backoff.Initial", &b.Initial, 500*time.Millisecond, off),
		option.FillPositive("Options.Backoff.Max", &b.Max, 30*time.Second),
		option.FillPositive("Options.Backoff.Factor", &b.Factor, 2),
		option.Fill("Options.Backoff.Jitter", &b.Jitter, 0.2, 0),
	)
	switch {
	case err != nil:
	case b.Factor < 1:
		err = fmt.Errorf("Options.Backoff.Factor is %v; use at least 1", b.Factor)
	case b.Jitter > 1:
		err = fmt.Errorf("Options.Backoff.Jitter is %v; use at most 1", b.Jitter)
	case b.Max < b.Initial:
		err = fmt.Errorf("Options.Backoff.Max is %v; use at least Initial, %v", b.Max, b.Initial)
	}
	if err != nil {
		return Options{}, fmt.Errorf("client: %w: %w", ErrInvalid, err)
	}
	return filled, nil
}
