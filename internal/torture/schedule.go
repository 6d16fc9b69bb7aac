package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault is a kind of fault.
type Fault string

// The faults. Those of the store and of Redis need StoreRedis.
const (
	FaultKill       Fault = "kill"        // a server is killed and started again
	FaultEnd        Fault = "end"         // a server is shut down gracefully and started again
	FaultPause      Fault = "pause"       // a server is stopped by SIGSTOP for a while
	FaultMove       Fault = "move"        // clients are moved to another server
	FaultSlow       Fault = "slow"        // what clients send and receive comes late
	FaultCut        Fault = "cut"         // connections of clients are reset
	FaultHalf       Fault = "half-close"  // one direction of connections of clients ends
	FaultHole       Fault = "hole"        // the network of clients forwards nothing for a while
	FaultStoreSlow  Fault = "store-slow"  // the same between a server and its store
	FaultStoreCut   Fault = "store-cut"   //
	FaultStoreHalf  Fault = "store-half"  //
	FaultStoreHole  Fault = "store-hole"  //
	FaultRedisKill  Fault = "redis-kill"  // Redis is killed and restarted with its file
	FaultRedisPause Fault = "redis-pause" // Redis is stopped by SIGSTOP for a while
	FaultRedisFlush Fault = "redis-flush" // Redis loses everything
)

// isOutage reports whether the fault can keep a server from reading its store.
func (f Fault) isOutage(store string) bool {
	if store != StoreRedis {
		return false
	}
	name := string(f)
	return strings.HasPrefix(name, "store-") || f == FaultPause || f == FaultRedisKill || f == FaultRedisPause
}

// weight is the share of a fault among all, and how long it lasts.
type weight struct {
	fault    Fault
	share    int
	min, max time.Duration
}

var weights = []weight{
	{FaultKill, 12, 50 * time.Millisecond, 1500 * time.Millisecond},
	{FaultEnd, 4, 50 * time.Millisecond, 800 * time.Millisecond},
	{FaultPause, 8, 100 * time.Millisecond, 3 * time.Second},
	{FaultMove, 14, 0, 0},
	{FaultSlow, 8, 200 * time.Millisecond, 2 * time.Second},
	{FaultCut, 14, 0, 0},
	{FaultHalf, 8, 0, 0},
	{FaultHole, 10, 200 * time.Millisecond, 4 * time.Second},
	{FaultStoreSlow, 6, 200 * time.Millisecond, 2 * time.Second},
	{FaultStoreCut, 10, 0, 0},
	{FaultStoreHalf, 6, 0, 0},
	{FaultStoreHole, 8, 200 * time.Millisecond, 4 * time.Second},
	{FaultRedisKill, 5, 50 * time.Millisecond, 1500 * time.Millisecond},
	{FaultRedisPause, 4, 100 * time.Millisecond, 2 * time.Second},
	{FaultRedisFlush, 3, 0, 0},
}

// possibleFaults returns the faults that a number of processes on a store can have.
func possibleFaults(store string, processes int) []Fault {
	var possible []Fault
	for _, w := range weights {
		switch name := string(w.fault); {
		case strings.HasPrefix(name, "store-") || strings.HasPrefix(name, "redis-"):
			if store != StoreRedis {
				continue
			}
		case w.fault == FaultMove && processes == 1:
			continue
		}
		possible = append(possible, w.fault)
	}
	return possible
}

// event is one fault of the schedule.
type event struct {
	fault Fault
	// at is the time from the beginning of the run; with Options.Kills, from the end
	// of the event before.
	at, lasts time.Duration
	// server and clients are affected. towards is the server that clients move to.
	// heals says that FaultHole ends without a reset of the connections.
	server  int
	clients []int
	towards int
	heals   bool
	// delay is how slow the network is. up closes the direction to the server. A
	// server that is killed with up is killed again, delay after its start.
	delay time.Duration
	up    bool
}

// String returns the event for the log.
func (e event) String() string {
	text := fmt.Sprintf("%7.3fs %-11s", e.at.Seconds(), e.fault)
	if e.lasts > 0 {
		text += fmt.Sprintf(" for %v", e.lasts)
	}
	switch e.fault {
	case FaultMove:
		return text + fmt.Sprintf(" clients %v to server %d", e.clients, e.towards)
	case FaultSlow, FaultCut, FaultHalf, FaultHole:
		text += fmt.Sprintf(" clients %v", e.clients)
	case FaultRedisKill, FaultRedisPause, FaultRedisFlush:
	default:
		text += fmt.Sprintf(" server %d", e.server)
	}
	switch e.fault {
	case FaultSlow, FaultStoreSlow:
		text += fmt.Sprintf(" by %v", e.delay)
	case FaultKill:
		if e.up {
			text += fmt.Sprintf(" and again %v after its start", e.delay)
		}
	case FaultHalf, FaultStoreHalf:
		text += fmt.Sprintf(" towards the server: %t", e.up)
	case FaultHole, FaultStoreHole:
		text += fmt.Sprintf(" heals: %t", e.heals)
	}
	return text
}

// stream returns the random numbers of one actor. Actors do not affect each other's
// numbers.
func stream(seed uint64, actor string) *rand.Rand {
	sum := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(actor) {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, sum))
}

// schedule returns the faults of a run. It depends on the options only.
func schedule(o Options) []event {
	rng := stream(o.Seed, "schedule")
	if o.Kills > 0 {
		return scheduleKills(o, rng)
	}
	var events []event
	busy := make(map[string]time.Duration) // until when a target has a fault
	for at := o.Every; at > 0 && at < o.Duration; at += 1 + time.Duration(rng.ExpFloat64()*float64(o.Every)) {
		e := o.draw(rng)
		if e.at = at.Truncate(time.Millisecond); e.fault.isOutage(o.Store) && e.at%outagePeriod > outageTime {
			continue
		}
		e.lasts = min(e.lasts, o.Duration-e.at)
		targets := e.targets()
		if slices.ContainsFunc(targets, func(v string) bool { return busy[v] > e.at }) {
			continue
		}
		for _, v := range targets {
			busy[v] = e.at + e.lasts + restartTime
		}
		events = append(events, e)
	}
	return events
}

// Outages of the store begin in the first outageTime of every outagePeriod. In the
// rest, the store can be read, so that cursors must be resumed.
const (
	outageTime   = 6 * time.Second
	outagePeriod = 16 * time.Second
)

// restartTime is the shortest time between two faults of one target: a server needs
// a moment to start.
const restartTime = 200 * time.Millisecond

// scheduleKills returns kills within a few seconds after each restart.
func scheduleKills(o Options, rng *rand.Rand) []event {
	events := make([]event, o.Kills)
	for i := range events {
		gap := time.Duration(rng.Int64N(int64(400 * time.Millisecond)))
		if rng.IntN(8) == 0 {
			gap *= 5
		}
		events[i] = event{
			fault: FaultKill, at: gap.Truncate(time.Millisecond), server: rng.IntN(o.Processes), lasts: time.Millisecond,
			up: rng.IntN(4) == 0, delay: time.Duration(rng.IntN(60)) * time.Millisecond,
		}
	}
	return events
}

// draw returns a random fault. It always uses the same number of random numbers, so
// that the fault does not depend on those before it.
func (o Options) draw(rng *rand.Rand) event {
	var possible []weight
	shares := 0
	for _, w := range weights {
		if slices.Contains(o.Faults, w.fault) {
			possible = append(possible, w)
			shares += w.share
		}
	}
	n := rng.IntN(shares)
	i := 0
	for n >= possible[i].share {
		n -= possible[i].share
		i++
	}
	w := possible[i]
	e := event{
		fault: w.fault, server: rng.IntN(o.Processes), towards: rng.IntN(o.Processes),
		heals: rng.IntN(2) == 0, up: rng.IntN(2) == 0, delay: time.Duration(5+rng.IntN(150)) * time.Millisecond,
	}
	// Short ones are more frequent than long ones.
	length := rng.Float64()
	e.lasts = (w.min + time.Duration(length*length*float64(w.max-w.min))).Truncate(time.Millisecond)
	e.clients = rng.Perm(o.Clients)[:1+rng.IntN(max(o.Clients/2, 1))]
	slices.Sort(e.clients)
	return e
}

// targets names what must not have two such faults at a time.
func (e event) targets() []string {
	switch e.fault {
	case FaultKill, FaultEnd, FaultPause:
		return []string{fmt.Sprint("server ", e.server)}
	case FaultStoreSlow, FaultStoreHole:
		return []string{fmt.Sprint(e.fault, e.server)}
	case FaultRedisKill, FaultRedisPause, FaultRedisFlush:
		return []string{"redis"}
	case FaultSlow, FaultHole:
		var targets []string
		for _, c := range e.clients {
			targets = append(targets, fmt.Sprint(e.fault, c))
		}
		return targets
	}
	return nil // without duration
}
