package sharedata

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/safe-go/safe/replay"
)

// Options configures a Manager. Nil or the zero value is good. For numbers and
// durations 0 is the default and -1 switches the limit off.
type Options struct {
	// Store keeps the histories. Default: a new replay.Memory with its default
	// bounds. The manager does not close a store that it was given.
	Store replay.Store
	// Kinds are the named sets of functions that CreateKind refers to and that
	// a ShareData loaded from the store gets back. Default: none.
	Kinds []Kind
	// Resolver decides which function a functionId means. Default: ResolveByID.
	// ResolveNone switches proposing by id off.
	Resolver Resolver
	// FunctionTimeout is the deadline of functions that set none of their own.
	// Default: 5 s.
	FunctionTimeout time.Duration
	// StoreTimeout bounds each call of the store, so that a medium that hangs
	// fails proposals instead of holding them. Default: 10 s.
	StoreTimeout time.Duration
	// MaxBatch is the largest number of changes that one append commits; one that
	// has reached 8 MiB takes no more either.
	// Default: 512.
	MaxBatch int
	// MaxBatchTime is how long functions may run before what they have decided is
	// committed, even if more changes wait. Default: 10 ms.
	MaxBatchTime time.Duration
	// MaxWaiting is the largest number of changes that may wait for one
	// ShareData; further ones fail with ErrBusy. Default: 16,384.
	MaxWaiting int
	// MaxLoadedBytes is how much memory loaded ShareData may take, in bytes, as
	// far as they can be unloaded: states count, and about 1 KiB for each.
	// Beyond that, those that were idle for longest and that nobody observes are
	// left to the store, and loaded again when they are needed. A Memory keeps
	// what it holds in memory all the same. Default: 256 MiB.
	MaxLoadedBytes int
	// RecentEntries is how many of the newest entries are kept in memory of each
	// ShareData that is observed, where other processes append to the store (a
	// replay.Follower): History reads those without asking the store, so that
	// subscribers are replayed what they missed also while the store cannot be
	// reached. Data of up to 256 KiB is kept. Default: 128.
	RecentEntries int
	// Logger gets panics of functions and observers with their stacks, runs
	// left behind, and failures of the store. Default: none, nothing is logged.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Store == nil {
		memory, err := replay.NewMemory(nil)
		if err != nil {
			return c, err
		}
		c.Store = memory
	}
	if c.Resolver == nil {
		c.Resolver = ResolveByID
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"FunctionTimeout", &c.FunctionTimeout, 5 * time.Second},
		{"StoreTimeout", &c.StoreTimeout, 10 * time.Second},
		{"MaxBatchTime", &c.MaxBatchTime, 10 * time.Millisecond},
	} {
		if err := withDefault(d.name, d.value, d.zero); err != nil {
			return c, err
		}
	}
	for _, n := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"MaxBatch", &c.MaxBatch, 512},
		{"MaxWaiting", &c.MaxWaiting, 16384},
		{"MaxLoadedBytes", &c.MaxLoadedBytes, 256 << 20},
		{"RecentEntries", &c.RecentEntries, 128},
	} {
		if err := withDefault(n.name, n.value, n.zero); err != nil {
			return c, err
		}
	}
	return c, nil
}

// withDefault turns 0 into the default and refuses negatives other than -1.
func withDefault[N int | time.Duration](name string, value *N, zero N) error {
	switch {
	case *value == 0:
		*value = zero
	case *value < -1:
		return fmt.Errorf("sharedata: Options.%s is %v: use 0 for the default %v, or -1 to switch it off", name, *value, zero)
	}
	return nil
}
