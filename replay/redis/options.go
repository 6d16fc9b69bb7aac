package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Defaults of Options.
const (
	defaultPrefix        = "safe:"
	defaultWaitTimeout   = time.Second
	defaultTimeout       = 3 * time.Second
	defaultCheckInterval = 10 * time.Second
	defaultMaxSilence    = 4 * time.Second
)

// Options of a Store. Nil options, and the zero value of each, are the
// defaults: everything is kept for ever.
//
// MaxEntries, MaxBytes and MaxAge bound what is kept of each history. An entry
// is forgotten when one of the bounds asks for it, together with its key. That
// happens when something is appended to the history, so one that nobody appends
// to keeps what it has. The newest entry, the newest state and the Meta stay
// whatever the bounds. Processes that share histories should agree on the bounds:
// whoever appends applies its own.
type Options struct {
	// Prefix begins the names of all keys and channels. Stores with different
	// prefixes have nothing to do with each other. The default is "safe:";
	// braces are not allowed.
	Prefix string
	// MaxEntries is how many entries are kept per history. Up to 100 more may
	// be kept. The default and -1 mean no bound.
	MaxEntries int
	// MaxBytes is how many bytes are kept per history: each entry counts the
	// length of its key, its data and its state, and 128 more. A sixteenth less
	// may be kept. The default and -1 mean no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended, by the server's
	// clock, in milliseconds. The default and -1 mean no bound.
	MaxAge time.Duration

	// WaitReplicas is how many replicas must have a batch before Append returns.
	// Where fewer have it in time, Append fails although the batch stands at the
	// master. The default and -1 mean that it does not wait.
	WaitReplicas int
	// WaitTimeout is how long to wait for the replicas. It must be less than
	// Timeout and than the client's ReadTimeout. The default is 1 s.
	WaitTimeout time.Duration

	// Timeout is how long a server may take to answer before it is taken to be
	// unreachable. The contexts of calls may end earlier. The default is 3 s;
	// -1 leaves it to the contexts alone, so that a call without a deadline may
	// wait as long as the client does.
	Timeout time.Duration
	// CheckInterval is how often each history that is followed is looked at to
	// see whether something was missed. The default is 10 s; -1 means never.
	CheckInterval time.Duration
	// MaxSilence is how long the connection that announcements come by may say
	// nothing before it is taken to be dead. It is asked for a sign of life
	// three times as often. The default is 4 s; -1 means that it may be silent
	// for ever.
	MaxSilence time.Duration

	// Logger is told, at Warn, of servers that are not configured as a store of
	// record should be, and of announcements that do not work. The default logs
	// nothing.
	Logger *slog.Logger
}

// settings are Options with the defaults filled in. Zero means no bound, or
// off.
type settings struct {
	prefix        string
	maxEntries    int
	maxBytes      int
	maxAge        time.Duration
	waitReplicas  int
	waitTimeout   time.Duration
	timeout       time.Duration
	checkInterval time.Duration
	maxSilence    time.Duration
	logger        *slog.Logger
}

func (o *Options) settings() (settings, error) {
	if o == nil {
		o = &Options{}
	}
	s := settings{prefix: o.Prefix, logger: o.Logger}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if strings.ContainsAny(s.prefix, "{}") {
		return s, fmt.Errorf("redis: Prefix is %q; it may not have braces, because those of the id choose the cluster slot", s.prefix)
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	err := errors.Join(
		set("MaxEntries", &s.maxEntries, o.MaxEntries, 0),
		set("MaxBytes", &s.maxBytes, o.MaxBytes, 0),
		set("MaxAge", &s.maxAge, o.MaxAge, 0),
		set("WaitReplicas", &s.waitReplicas, o.WaitReplicas, 0),
		set("WaitTimeout", &s.waitTimeout, o.WaitTimeout, defaultWaitTimeout),
		set("Timeout", &s.timeout, o.Timeout, defaultTimeout),
		set("CheckInterval", &s.checkInterval, o.CheckInterval, defaultCheckInterval),
		set("MaxSilence", &s.maxSilence, o.MaxSilence, defaultMaxSilence),
	)
	if err == nil && s.waitReplicas > 0 && (s.waitTimeout == 0 || s.timeout > 0 && s.waitTimeout >= s.timeout) {
		err = fmt.Errorf("redis: WaitTimeout is %v; use a time shorter than Timeout, which is %v", o.WaitTimeout, s.timeout)
	}
	return s, err
}

// set fills in an option: 0 is the default, -1 is off.
func set[T int | time.Duration](name string, to *T, value, byDefault T) error {
	switch {
	case value == 0:
		*to = byDefault
	case value == -1:
		*to = 0
	case value < -1:
		return fmt.Errorf("redis: %s is %v; use a positive value, 0 for the default, or -1 for none", name, value)
	default:
		*to = value
	}
	return nil
}
