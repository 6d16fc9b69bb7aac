package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/option"
	"github.com/safe-go/safe/sharedata"
)

// Options configures a Server. Nil or the zero value is good. For numbers and
// durations 0 is the default and -1 switches the limit off; any other negative
// number is an error of NewServer.
//
// Authenticate, AuthenticateToken, AuthorizeSubscribe, AuthorizeActivity,
// AuthorizePropose and Resolver are the application's hooks. They are called from any number of
// goroutines, should return soon after their context has ended, and must not call
// Shutdown or Close. A hook that panics refuses; the log has its stack.
type Options struct {
	// Authenticate says who opens a connection, before the upgrade: from a
	// header, a cookie or the query of the request. If it returns a nil Caller
	// or an error, the request is answered with HTTP 401 and not upgraded; with 503
	// if the error is ErrUnavailable. One whose Caller has expired or was revoked is
	// answered with 401 too. It may be called again for one request, if
	// Server.Disconnect was called meanwhile.
	// Default: every connection is accepted, with a nil Caller.
	Authenticate func(r *http.Request) (*sharedata.Caller, error)
	// AuthorizeSubscribe says whether the caller may see a ShareData; an error
	// is a refusal. It is called for every subscribe, before it is known whether
	// the ShareData exists. The client is sent a *Refusal's code and message, and
	// nothing of any other error: the code is codes.UnauthorizedSubscribe then.
	// ErrExpired closes the connection. It is called again for live subscriptions
	// by Server.Reauthorize and when a token was renewed. Default: every caller
	// may.
	AuthorizeSubscribe func(ctx context.Context, caller *sharedata.Caller, shareDataID string) error
	// AuthorizeActivity says whether the caller may see, in the frames of a ShareData,
	// the data that others proposed, their subjects and issuers, the times, and the
	// reasons of rejections: for a subscribe with activity, after AuthorizeSubscribe
	// and like it, also in being called again. Default: no caller may, and such a
	// subscribe is refused.
	AuthorizeActivity func(ctx context.Context, caller *sharedata.Caller, shareDataID string) error
	// AuthorizePropose says whether the caller may run a function, like
	// AuthorizeSubscribe. A refused proposal leaves no transaction; its code is
	// codes.Unauthorized unless a *Refusal has another one. Default: every
	// caller may.
	AuthorizePropose func(ctx context.Context, caller *sharedata.Caller, shareDataID, functionID string) error

	// AuthenticateToken says who the caller of a new token is, which a client sends
	// over an open connection (an authenticate frame) before the present one
	// expires. The connection goes on with the new Caller, if it has the Issuer and
	// the Subject of the present one, is not expired and not revoked; then
	// AuthorizeSubscribe is asked again about its subscriptions. A nil Caller or
	// an error refuses the token, and the client learns no more than that; for
	// ErrUnavailable it is asked to send the token again later. The context ends
	// after 10 s. Default: tokens are not renewed over a connection;
	// clients reconnect.
	AuthenticateToken func(ctx context.Context, token string) (*sharedata.Caller, error)

	// ExpiryLeeway is how long after Caller.ExpiresAt a caller is still served, for
	// clocks that differ. Leave it 0 with package auth, whose ExpiresAt contains a
	// leeway already. Default and -1: none.
	ExpiryLeeway time.Duration
	// RevocationRetention is how long a revocation is remembered. It must be at
	// least as long as the longest lifetime of a token, because afterwards a
	// revoked token that has not expired is accepted again. Servers that share a
	// store must agree on it. Default: 24 h. -1: for ever.
	RevocationRetention time.Duration

	// Resolver decides which function a functionId from the wire means, in
	// place of the manager's own Resolver. sharedata.ResolveNone switches
	// proposing over the wire off. Default: the manager's.
	Resolver sharedata.Resolver

	// ReplayWindow is how many entries of a history a subscriber may have
	// missed and still be replayed; a subscriber that missed more gets the
	// state and the error codes.ReplayCursorNotFound. Default: 100. -1: nothing
	// is replayed.
	ReplayWindow int

	// MaxBufferedBytes is how many bytes of messages may wait to be written to
	// one connection. A connection over it is closed with 4001, so this should
	// be several times the largest state: a message that is larger is sent only
	// when nothing else waits. Subscriptions with conflate use at most half of it,
	// and do not exceed it. Default: 1 MiB. -1: no limit.
	MaxBufferedBytes int
	// MaxBufferedMessages is how many messages may wait to be written to one connection
	// beside those that are being written. Of one over it, the same holds as of one over
	// MaxBufferedBytes: it is closed with 4001, and subscriptions with conflate do not
	// exceed it. Messages that are held during a replay count when it is over. Default and -1: no
	// limit but the bytes.
	MaxBufferedMessages int
	// MaxMessageBytes is the size in bytes of the largest message accepted from
	// a client; a larger one closes the connection with 4004. The proposals in
	// flight of one connection may hold four times as much. Default: 1 MiB.
	// -1: no limit.
	MaxMessageBytes int
	// MaxMessageDepth is how many levels of objects and arrays a message from a
	// client may have, its own object included; one with more closes the
	// connection with 4004. Default: 128. -1: only the decoder's limit of 10,000.
	MaxMessageDepth int
	// MaxSubscriptions is the number of ShareData that one connection may be
	// subscribed to; a further subscribe is refused with
	// codes.TooManySubscriptions. Default: 64. -1: no limit.
	MaxSubscriptions int
	// MaxProposalsInFlight is the number of proposals of one connection that may
	// wait for their result; further ones are refused with codes.RateLimited.
	// Default: 64. -1: no limit.
	MaxProposalsInFlight int

	// MessagesPerSecond is how many messages one connection may send in the long
	// run, pings and pongs included. One over the limit is refused with
	// codes.RateLimited and the time after which to send it again, an unsubscribe
	// excepted, which is carried out; a ping gets no pong. A connection that sends
	// more than twice as many for long is closed with 1008. Default: 5,000. Where
	// the clients are people, 50 is plenty; for programs on a network of one's own
	// that propose as fast as they get replies, raise it or switch it off. -1: no
	// limit.
	MessagesPerSecond int
	// MessageBurst is how many messages one connection may send at once after a
	// pause; it is positive. Default: twice MessagesPerSecond.
	MessageBurst int

	// MaxConnections is the number of connections of the server, handshakes
	// included; a further one is refused with HTTP 503 and Retry-After.
	// Default: 32,768. -1: no limit.
	MaxConnections int
	// MaxConnectionsPerSubject is the number of connections of one caller: of one
	// Issuer and Subject. A further one is refused with HTTP 429 and Retry-After.
	// Callers without a Subject are not counted. Default: 256. -1: no limit.
	MaxConnectionsPerSubject int
	// MaxConnectionsPerAddress is the number of connections from one IPv4 address,
	// or from one /64 of IPv6, handshakes included. A further one is refused with
	// HTTP 429 and Retry-After before it is authenticated. Connections from the
	// loopback are not counted: they are of local programs, or of a proxy.
	// Default: 1,024, since many users may share an address. -1: no limit.
	MaxConnectionsPerAddress int
	// TrustedProxies are the addresses of the proxies in front of the server. The
	// address of a connection that comes from one of them is read from the header
	// X-Forwarded-For: the last address there that is no trusted proxy. List exactly
	// the proxies that append to the header or replace it; any other peer could
	// claim any address. The header Forwarded (RFC 7239) is not read. Default: none,
	// the address is that of the network connection.
	TrustedProxies []netip.Prefix

	// HandshakeTimeout bounds the context of Authenticate, after which the request is
	// refused with HTTP 503, and then the writing of the response. Reading the request
	// is bounded by http.Server.ReadHeaderTimeout, which has no default. Default: 10 s.
	// -1: no limit.
	HandshakeTimeout time.Duration
	// MessageTimeout is how long a message, in one frame or in fragments, may take
	// from the header of its first frame to its last byte. A longer one closes the
	// connection with 1008. A client on a slow network needs time for the largest
	// message: 1 MiB in 30 s is 35 KB/s. Default: 30 s. -1: no limit.
	MessageTimeout time.Duration
	// IdleTimeout is how long a connection may have no subscription, no proposal in
	// flight, and send no message; WebSocket pings are none. It is closed with 1001
	// then, upon which clients reconnect. Default: 15 min. -1: no limit.
	IdleTimeout time.Duration

	// Heartbeat is the interval of pings. A peer that sends nothing for a whole
	// interval after a ping is disconnected; so is one that reads nothing of
	// what is being written to it. It is also how long a peer has to read up to
	// a close frame and to answer it. Default: 30 s. -1: a dead peer is noticed
	// when the network reports it, and a close may take 30 s.
	Heartbeat time.Duration

	// CompressFrom is the size in bytes of the smallest message that is sent compressed,
	// over WebSocket, to clients that negotiate permessage-deflate (RFC 7692): once for
	// all of them, with about 30 us per 16 KiB. 512 is a good value. Do not use it where
	// one message has a secret beside what an attacker chooses, because its size tells
	// whether they are alike. Default and -1: nothing is compressed.
	CompressFrom int
	// DrainPerSecond is how many connections Shutdown drains per second, so that the
	// clients of a large server do not all reconnect elsewhere at once; more where they
	// would not all have had their turn when half of the time of Shutdown's context is
	// over. Default: 1,000. -1: all at once.
	DrainPerSecond int
	// ShutdownTimeout is how long Serve takes at most to shut down. Default: 10 s. -1: as
	// long as it takes.
	ShutdownTimeout time.Duration

	// OriginPatterns are the hosts besides the server's own whose pages may
	// open connections from a browser: patterns of path.Match for the host of
	// the Origin header, or for scheme://host if they contain "://". A browser
	// sends the cookies of the server's host with the handshake of any page, so
	// a pattern lets those pages act as the user. Requests without an Origin
	// header, which no browser makes, are accepted. A malformed pattern is an
	// error of NewServer. Default: none; other origins are answered with
	// HTTP 403 and logged.
	OriginPatterns []string

	// Observer is notified of what happens to connections. Default: nothing is.
	Observer Observer
	// Logger gets panics of hooks with their stacks (Error); refused credentials
	// and origins, connections that are refused or closed because of a limit, and
	// failures to read a history (Warn, at most one line a second of each kind);
	// and why connections end (Debug). Default: nothing is logged.
	Logger *slog.Logger
}

const (
	defaultReplayWindow     = 100
	defaultMaxBufferedBytes = 1 << 20
	defaultHeartbeat        = 30 * time.Second
	defaultRetention        = 24 * time.Hour

	// unlimited stands for a limit that is switched off. Sums and small
	// multiples of it do not overflow.
	unlimited = math.MaxInt >> 4
)

var errMalformedPattern = fmt.Errorf("%w: realtime: Options.OriginPatterns", option.ErrInvalid)

// withDefaults returns a copy in which every number is the effective one.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	err := errors.Join(
		option.Fill("realtime: Options.ReplayWindow", &c.ReplayWindow, defaultReplayWindow, 0),
		option.Fill("realtime: Options.MaxBufferedBytes", &c.MaxBufferedBytes, defaultMaxBufferedBytes, unlimited),
		option.Fill("realtime: Options.ExpiryLeeway", &c.ExpiryLeeway, 0, 0),
		option.Fill("realtime: Options.RevocationRetention", &c.RevocationRetention, defaultRetention, 0),
		option.Fill("realtime: Options.Heartbeat", &c.Heartbeat, defaultHeartbeat, 0),
		option.Fill("realtime: Options.CompressFrom", &c.CompressFrom, 0, 0),
		c.fillLimits(),
	)
	c.MaxBufferedBytes = min(c.MaxBufferedBytes, unlimited)
	c.OriginPatterns = slices.Clone(c.OriginPatterns)
	for _, pattern := range c.OriginPatterns {
		if _, malformed := path.Match(pattern, ""); malformed != nil || pattern == "" {
			err = errors.Join(err, fmt.Errorf("%w: %q is malformed; use a pattern of path.Match for a host, such as *.example.com",
				errMalformedPattern, pattern))
		}
	}
	return c, err
}

// authorizesSubscribe reports whether a hook decides about subscriptions.
func (o *Options) authorizesSubscribe() bool {
	return o.AuthorizeSubscribe != nil || o.AuthorizeActivity != nil
}

// closeTimeout is how long a peer has to read up to a close frame and answer it.
func (o *Options) closeTimeout() time.Duration {
	if o.Heartbeat == 0 {
		return defaultHeartbeat
	}
	return o.Heartbeat
}
