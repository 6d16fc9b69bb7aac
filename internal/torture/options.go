package torture

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/safe-go/safe/internal/checker"
)

// Stores that servers can be run on.
const (
	StoreMemory = "mem"
	StoreBolt   = "bolt"
	StoreRedis  = "redis"
)

// Options say what a run is. Server and Dir must be set; everything else has a
// default.
type Options struct {
	// Server is the program of the servers; see Build.
	Server string
	// Dir is the folder for the files of servers and stores. It must exist, and
	// nothing in it is removed.
	Dir string
	// Seed decides what happens. Default: 0, which is a seed like any other.
	Seed uint64
	// Store is StoreMemory, StoreBolt or StoreRedis. Default: StoreMemory.
	Store string
	// Processes is the number of servers. Only StoreRedis can have more than the
	// default, 1.
	Processes int
	// Clients is the number of users and raw connections together. Default: 12.
	Clients int
	// ShareData is the number of ShareData. Default: 4.
	ShareData int
	// Duration is how long faults are injected, before everything comes to rest;
	// clients work for nine tenths of it. Default: 10 s.
	Duration time.Duration
	// Kills, where it is not 0, makes the run one of so many kills of servers
	// and of no other faults, one after the other at random moments, however
	// long it takes.
	Kills int
	// Faults are the only kinds of faults to inject. Default: all that the store
	// can have.
	Faults []Fault
	// Every is the mean time between faults. Default: 400 ms; -1: no faults.
	Every time.Duration
	// Think is the mean time that a client waits between two actions. Default:
	// 2 ms for each client.
	Think time.Duration
	// Window is the replay window of the servers, in entries. Default: 100.
	Window int
	// Patience is how long it may take until everything has come to rest.
	// Default: 90 s.
	Patience time.Duration
	// Plant is a bug for the servers; see their flag -plant. Default: none.
	Plant string
	// Log, if it is not nil, is told what is going on.
	Log func(format string, values ...any)
}

// maxOperations bounds what a run asks for, so that its recording is never full:
// each operation is told to about half of the clients.
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
		fill("Processes", &o.Processes, 1),
		fill("Clients", &o.Clients, 12),
		fill("ShareData", &o.ShareData, 4),
		fill("Duration", &o.Duration, 10*time.Second),
		fill("Kills", &o.Kills, 0),
		fill("Think", &o.Think, time.Duration(max(o.Clients, 1))*2*time.Millisecond),
		fill("Window", &o.Window, 100),
		fill("Patience", &o.Patience, 90*time.Second),
	)
	switch {
	case err != nil:
		return o, err
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

func fill[N int | time.Duration](name string, field *N, byDefault N) error {
	switch {
	case *field == 0:
		*field = byDefault
	case *field < 0:
		return fmt.Errorf("torture: Options.%s is %v, it must not be negative", name, *field)
	}
	return nil
}
