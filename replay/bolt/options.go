package bolt

import (
	"fmt"
	"log/slog"
	"math"
	"time"
)

// Options say what a Store keeps. Nil and the zero value are the defaults:
// everything is kept.
type Options struct {
	// MaxEntries is the largest number of entries kept per history, those from
	// before it was started over included. The default and -1 mean no bound.
	//
	// What the bounds ask to forget is forgotten by later appends to the same
	// history, each of which forgets at most 256 entries more than it appends.
	// The newest state and the Meta stay whatever the bounds.
	MaxEntries int
	// MaxBytes bounds the bytes kept per history: each entry counts the length
	// of its key, its data and its state, and 128 more. An entry larger than
	// the bound is not kept at all. The default and -1 mean no bound.
	MaxBytes int
	// MaxAge is how long an entry is kept after it was appended, by the clock of
	// the machine. An older one is never returned, but takes its room in the
	// file until the next append to its history. The default and -1 mean no
	// bound.
	MaxAge time.Duration
	// SkipCheck opens the file without reading all of it first. The check reads
	// at the speed of the disk, which for a file of many gigabytes takes
	// minutes. Without it, damage to a value is still found when that value is
	// read, but a damaged structure may be found late, or end the process.
	SkipCheck bool
	// Logger receives what no caller is told: damage that was met, and that the
	// file had to be opened again. Default: nothing is logged.
	Logger *slog.Logger
}

// retention is the part of Options that bounds a history, without special
// values but maxAge 0, which is no bound.
type retention struct {
	maxEntries uint64
	maxBytes   uint64
	maxAge     time.Duration
}

func (o *Options) retention() (limits retention, err error) {
	if limits.maxEntries, err = bound("MaxEntries", o.MaxEntries); err != nil {
		return retention{}, err
	}
	if limits.maxBytes, err = bound("MaxBytes", o.MaxBytes); err != nil {
		return retention{}, err
	}
	limits.maxAge, err = duration("MaxAge", o.MaxAge, "no bound")
	return limits, err
}

func bound(name string, value int) (uint64, error) {
	switch {
	case value < -1:
		return 0, fmt.Errorf("bolt: %s is %d; use a positive number, or 0 or -1 for no bound", name, value)
	case value < 1:
		return math.MaxUint64, nil
	}
	return uint64(value), nil
}

func duration(name string, value time.Duration, off string) (time.Duration, error) {
	if value < -1 {
		return 0, fmt.Errorf("bolt: %s is %v; use a positive duration, or 0 or -1 for %s", name, value, off)
	}
	return max(value, 0), nil
}
