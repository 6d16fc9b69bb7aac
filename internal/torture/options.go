package torture

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/option"
)

// Stores that servers can be run on.
const (
	StoreMemory = "mem"
	StoreBolt   = "bolt"
	StoreRedis  = "redis"
)

// Options configure a run. Server and Dir must be set.
type Options struct {
	// Server is the program of the servers; see Build.
	Server string
	// Dir is the folder for the files of servers and stores. It must exist; its files
	// are left behind.
	Dir string
	// Seed decides what happens. Default: 0, which is a seed like any other.
	Seed uint64
	// Store is StoreMemory, StoreBolt or StoreRedis. Default: StoreMemory.
	Store string
	// Processes is the number of servers. Only StoreRedis can have more than the
	// default, 1.
	Processes int
	// Clients is the number of clients. Half of them are Go clients, a quarter raw
	// clients, and a quarter stream clients. Default: 12.
	Clients int
	// HalfStreams makes half of the clients stream clients, and a quarter Go clients.
	HalfStreams bool
	// ShareData is the number of ShareData. Default: 5.
	ShareData int
	// Duration is how long faults are injected. Clients work for nine tenths of it.
	// Default: 10 s.
	Duration time.Duration
	// Kills, if it is not 0, is the number of kills of servers, one after the other
	// at random moments. They are the only faults then, and Duration is ignored.
	Kills int
	// Faults are the kinds of faults to inject. Default: all that are possible with
	// the Store.
	Faults []Fault
	// Every is the mean time between faults. Default: 400 ms; -1: no faults.
	Every time.Duration
	// Think is the mean time that a client waits between two actions. Default:
	// 2 ms for each client.
	Think time.Duration
	// Window is the replay window of the servers, in entries. Default: 100.
	Window int
	// Retention is how many of the newest entries the stores keep of each history,
	// besides those that follow the newest snapshot. Default: all.
	Retention int
	// QuiesceTimeout is how long the system may take to become idle and current
	// after the last fault. Default: 90 s.
	QuiesceTimeout time.Duration
	// Bug is a bug that the servers have; see their flag -bug. Default: none.
	Bug string
	// Log, if it is not nil, is called with what happens.
	Log func(format string, values ...any)
}

// clientKind is a kind of client.
type clientKind int

const (
	goKind clientKind = iota
	rawKind
	streamKind
)

// kindOfClient returns the kind of the i-th client.
func (o Options) kindOfClient(i int) clientKind {
	if o.HalfStreams {
		return []clientKind{goKind, streamKind, rawKind, streamKind}[i%4]
	}
	return []clientKind{goKind, rawKind, goKind, streamKind}[i%4]
}

// maxOperations bounds the operations of a run, so that its recording is never full.
// About half of the clients receive each one.
func (o Options) maxOperations() int64 { return checker.MaxRecords / 2 / int64(o.Clients/2+6) }

func (o Options) withDefaults() (Options, error) {
	if o.Server == "" || o.Dir == "" {
		return o, errors.New("torture: Options.Server and Options.Dir must be set")
	}
	if o.Store == "" {
		o.Store = StoreMemory
	}
	if !slices.Contains([]string{StoreMemory, StoreBolt, StoreRedis}, o.Store) {
		return o, fmt.Errorf("torture: Options.Store is %q; use mem, bolt or redis", o.Store)
	}
	err := errors.Join(
		option.FillPositive("torture: Options.Processes", &o.Processes, 1),
		option.FillPositive("torture: Options.Clients", &o.Clients, 12),
		option.FillPositive("torture: Options.ShareData", &o.ShareData, 5),
		option.FillPositive("torture: Options.Duration", &o.Duration, 10*time.Second),
		option.FillPositive("torture: Options.Think", &o.Think, time.Duration(max(o.Clients, 1))*2*time.Millisecond),
		option.FillPositive("torture: Options.Window", &o.Window, 100),
		option.FillPositive("torture: Options.QuiesceTimeout", &o.QuiesceTimeout, 90*time.Second),
	)
	switch {
	case err != nil:
		return o, err
	case o.Retention < 0:
		return o, fmt.Errorf("torture: Options.Retention is %d, it must not be negative", o.Retention)
	case o.Kills < 0:
		return o, fmt.Errorf("torture: Options.Kills is %d, it must not be negative", o.Kills)
	case o.Processes > 1 && o.Store != StoreRedis:
		return o, fmt.Errorf("torture: %d processes cannot share a store %q", o.Processes, o.Store)
	}
	switch {
	case o.Every == 0:
		o.Every = 400 * time.Millisecond
	case o.Every < 0:
		o.Every = math.MaxInt64
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	possible := possibleFaults(o.Store, o.Processes)
	if len(o.Faults) == 0 {
		o.Faults = possible
	}
	for _, f := range o.Faults {
		if !slices.Contains(possible, f) {
			return o, fmt.Errorf("torture: %d processes on %s cannot have the fault %q; use %q", o.Processes, o.Store, f, possible)
		}
	}
	return o, nil
}
