package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// Options of a Store. Nil options, and the zero value of each, are the
// defaults: everything is kept for ever.
//
// MaxEntries, MaxBytes and MaxAge bound what is kept of each history. The
// oldest entries beyond a bound are deleted, with their keys. That happens when
// something is appended to the history, so a history without appends keeps what it
// has. The newest entry, the newest snapshot, the entries after it and the Meta stay
// whatever the bounds. Processes that share histories should agree on the bounds: each
// applies its own when it appends.
type Options struct {
	// Prefix begins the names of all keys and channels. Stores with different
	// prefixes have nothing to do with each other. The default is "safe:";
	// braces are not allowed.
	Prefix string
	// MaxEntries is how many entries are kept per history. Up to 100 more may
	// be kept. The default and -1 mean no bound.
	MaxEntries int
	// MaxBytes is how many bytes of entries are kept per history: each counts the
	// length of its key and its data, and 128 more. Up to a sixteenth less may be
	// kept. The default and -1 mean no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended, by the server's
	// clock, in milliseconds. The default and -1 mean no bound.
	MaxAge time.Duration

	// WaitReplicas is how many replicas must have a batch before Append returns.
	// Where fewer have it in time, Append fails although the batch stands at the
	// master. The default and -1 mean that it does not wait.
	WaitReplicas int
	// WaitTimeout is how long to wait for the replicas. It must be less than
	// Timeout and than the client's ReadTimeout. The default is 1 s. It cannot be
	// switched off.
	WaitTimeout time.Duration

	// Timeout is how long a server may take to reply before it is taken to be
	// unreachable. The contexts of calls may end earlier. The default is 3 s;
	// -1 leaves it to the contexts alone, so that a call without a deadline may
	// wait as long as the client does.
	Timeout time.Duration
	// CheckInterval is how often the position of each followed history is read to
	// see whether something was missed. The default is 10 s; -1 means never.
	CheckInterval time.Duration
	// MaxSilence is how long a pub/sub connection may receive nothing before it is
	// taken to be broken. It is pinged three times as often. The default is 4 s;
	// -1 means that it may be silent for ever.
	MaxSilence time.Duration

	// Logger logs, at Warn, servers that are not configured as a store of record
	// should be. The default logs nothing.
	Logger *slog.Logger
}

// withDefaults returns a copy with the defaults filled in. Zero then means no
// bound, or off.
func (o *Options) withDefaults() (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	if filled.Prefix == "" {
		filled.Prefix = "safe:"
	}
	if filled.Logger == nil {
		filled.Logger = slog.New(slog.DiscardHandler)
	}
	err := errors.Join(
		option.Fill("redis: Options.MaxEntries", &filled.MaxEntries, 0, 0),
		option.Fill("redis: Options.MaxBytes", &filled.MaxBytes, 0, 0),
		option.Fill("redis: Options.MaxAge", &filled.MaxAge, 0, 0),
		option.Fill("redis: Options.WaitReplicas", &filled.WaitReplicas, 0, 0),
		option.FillPositive("redis: Options.WaitTimeout", &filled.WaitTimeout, time.Second),
		option.Fill("redis: Options.Timeout", &filled.Timeout, 3*time.Second, 0),
		option.Fill("redis: Options.CheckInterval", &filled.CheckInterval, 10*time.Second, 0),
		option.Fill("redis: Options.MaxSilence", &filled.MaxSilence, 4*time.Second, 0),
	)
	switch {
	case err != nil:
	case strings.ContainsAny(filled.Prefix, "{}"):
		err = fmt.Errorf("redis: Options.Prefix is %q; use one without braces, because those of the id choose the cluster slot", filled.Prefix)
	case filled.WaitReplicas > 0 && filled.Timeout > 0 && filled.WaitTimeout >= filled.Timeout:
		err = fmt.Errorf("redis: Options.WaitTimeout is %v; use a time shorter than Timeout, which is %v", filled.WaitTimeout, filled.Timeout)
	}
	return filled, err
}
