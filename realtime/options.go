package realtime

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// Options configures a Server. Nil or the zero value is good. For numbers and
// durations 0 is the default and -1 switches the limit off; any other negative
// number is taken as 0, so that a mistake makes a server no weaker.
//
// The hooks are the application's. They are called from any number of
// goroutines, should return soon once their context has ended, and must not
// call Shutdown or Close. One that panics denies; the log has its stack.
type Options struct {
	// Authenticate says who opens a connection, before the upgrade. Returning
	// a nil Caller or an error answers HTTP 401, and the connection is not
	// upgraded. Default: everybody is let in as a nil Caller.
	Authenticate func(r *http.Request) (*sharedata.Caller, error)
	// AuthorizeSubscribe says whether the caller may see a ShareData; an error
	// is a refusal. It is asked before it is known whether the ShareData
	// exists, and again for every subscribe frame. Its text stays on the
	// server. ErrExpired, or an error that wraps it, closes the connection with
	// 4002. Default: everybody may.
	AuthorizeSubscribe func(ctx context.Context, caller *sharedata.Caller, shareDataID string) error
	// AuthorizePropose says whether the caller may run a function, like
	// AuthorizeSubscribe. The context also carries the caller. Default:
	// everybody may.
	AuthorizePropose func(ctx context.Context, caller *sharedata.Caller, shareDataID, functionID string) error

	// Resolver decides which function a functionId from the wire means, in
	// place of the manager's own Resolver. sharedata.ResolveNone switches
	// proposing over the wire off. Default: the manager's.
	Resolver sharedata.Resolver

	// ReplayWindow is how many entries of a history a subscriber may have
	// missed and still be served them one by one; one that missed more is
	// given the state alone and told so. Default: 100. -1: nothing is
	// replayed.
	ReplayWindow int

	// MaxBufferedBytes is how much may wait to be written to one connection,
	// in bytes of messages. A connection over it is closed with 4001, so this
	// should be several times the largest state: a message that is larger is
	// sent only when nothing else waits. Default: 1 MiB.
	MaxBufferedBytes int
	// MaxMessageBytes is the size of the largest message taken from a client.
	// Proposals of one connection that wait for a verdict may hold four times
	// as much. Default: 1 MiB.
	MaxMessageBytes int
	// MaxSubscriptions is the number of ShareData that one connection may be
	// subscribed to. Default: 128.
	MaxSubscriptions int
	// MaxProposalsInFlight is the number of proposals of one connection that
	// may wait for a verdict; further ones are refused. Default: 64.
	MaxProposalsInFlight int

	// Heartbeat is the interval of pings. A peer that shows no sign of life
	// for a whole interval after one is cut off; so is one that takes nothing
	// of what is being written to it. It is also how long a peer has to read
	// up to a close frame and to answer it. Default: 30 s. -1: a dead peer is
	// noticed when the network reports it; a close may take 30 s.
	Heartbeat time.Duration

	// OriginPatterns are the hosts besides the server's own whose pages may
	// open connections from a browser: patterns of path.Match for the host of
	// the Origin header, or for scheme://host if they contain "://". A pattern
	// that is malformed is logged and matches nothing. Default: none.
	OriginPatterns []string

	// Events are told what happens to connections. Default: nobody is told.
	Events Events
	// Logger gets panics of hooks with their stacks, and at level Debug why
	// connections end. Default: nothing is logged.
	Logger *slog.Logger
}

// ErrExpired is what AuthorizeSubscribe and AuthorizePropose return when the
// credentials that a connection was opened with are no longer good. The
// connection is closed with 4002, so that its client renews them and comes
// back.
var ErrExpired = errors.New("credentials are no longer good")

const (
	defaultReplayWindow     = 100
	defaultMaxBufferedBytes = 1 << 20
	defaultMaxMessageBytes  = 1 << 20
	defaultMaxSubscriptions = 128
	defaultMaxProposals     = 64
	defaultHeartbeat        = 30 * time.Second

	// unlimited stands for a limit that was switched off. Sums and small
	// multiples of it do not overflow.
	unlimited = math.MaxInt >> 4
)

// withDefaults returns a copy in which every number is the effective one.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	c.ReplayWindow = limit(c.ReplayWindow, defaultReplayWindow, 0)
	c.MaxBufferedBytes = limit(c.MaxBufferedBytes, defaultMaxBufferedBytes, unlimited)
	c.MaxMessageBytes = limit(c.MaxMessageBytes, defaultMaxMessageBytes, unlimited)
	c.MaxSubscriptions = limit(c.MaxSubscriptions, defaultMaxSubscriptions, unlimited)
	c.MaxProposalsInFlight = limit(c.MaxProposalsInFlight, defaultMaxProposals, unlimited)
	c.Heartbeat = limit(c.Heartbeat, defaultHeartbeat, 0)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.OriginPatterns = slices.DeleteFunc(slices.Clone(c.OriginPatterns), func(pattern string) bool {
		_, err := path.Match(pattern, "")
		if err != nil {
			c.Logger.Error("origin pattern ignored: it is malformed", "pattern", pattern)
		}
		return err != nil
	})
	return c
}

func limit[N int | time.Duration](value, byDefault, off N) N {
	switch {
	case value == -1:
		return off
	case value <= 0:
		return byDefault
	}
	return value
}

// linger is how long a peer has to read up to a close frame and answer it.
func (o *Options) linger() time.Duration {
	if o.Heartbeat == 0 {
		return defaultHeartbeat
	}
	return o.Heartbeat
}
