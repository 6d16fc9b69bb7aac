package bolt

import (
	"log/slog"
	"math"
	"time"

	"github.com/safe-go/safe/internal/option"
)

// Options say what a Store keeps. Nil and the zero value are the defaults:
// everything is kept.
type Options struct {
	// MaxEntries is the largest number of entries kept per history, including
	// those from before it was restarted. Default and -1: no bound.
	//
	// Each append deletes what exceeds the bounds of its history, at most 256
	// entries more than it appends. The newest snapshot, all entries after it and
	// the Meta stay whatever the bounds.
	MaxEntries int
	// MaxBytes bounds the bytes kept per history: each entry counts the length
	// of its key and its data, and 128 more. An entry larger than the bound is kept
	// until there is a snapshot of the state after it. Default and -1: no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended, by the clock of
	// the machine. An older one is not returned unless it is later than the newest
	// snapshot, but takes its room in the file until the next append to its
	// history. Default and -1: no bound.
	MaxAge time.Duration
	// Logger receives what the errors of calls do not say or a caller may ignore:
	// damage that was met, histories that were rolled back, that the file had to be
	// opened again, and that it was brought forward from an earlier format.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// retention is the part of Options that bounds a history. The largest number is
// no bound.
type retention struct {
	maxEntries, maxBytes int
	maxAge               time.Duration
}

func (o *Options) retention() (retention, error) {
	limits := retention{maxEntries: o.MaxEntries, maxBytes: o.MaxBytes, maxAge: o.MaxAge}
	if err := option.Fill("bolt: Options.MaxEntries", &limits.maxEntries, math.MaxInt, math.MaxInt); err != nil {
		return retention{}, err
	}
	if err := option.Fill("bolt: Options.MaxBytes", &limits.maxBytes, math.MaxInt, math.MaxInt); err != nil {
		return retention{}, err
	}
	err := option.Fill("bolt: Options.MaxAge", &limits.maxAge, math.MaxInt64, math.MaxInt64)
	return limits, err
}
