package torture

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func planned(t *testing.T, o Options) []event {
	t.Helper()
	o.Server, o.Dir = "server", "dir"
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return schedule(o)
}

func TestSchedule_Seed(t *testing.T) {
	o := Options{Store: StoreRedis, Processes: 3, Clients: 30, Duration: time.Minute, Seed: 7}
	first := fmt.Sprint(planned(t, o))
	if again := fmt.Sprint(planned(t, o)); again != first {
		t.Errorf("one seed has two schedules:\n%s\n%s", first, again)
	}
	o.Seed++
	if other := fmt.Sprint(planned(t, o)); other == first {
		t.Error("two seeds have one schedule")
	}
	if a, b := stream(7, "user 1").Uint64(), stream(7, "user 2").Uint64(); a == b {
		t.Error("two actors have the same random numbers")
	}
	if a, b := stream(7, "user 1").Uint64(), stream(7, "user 1").Uint64(); a != b {
		t.Error("one actor has two sequences of random numbers")
	}
}

func TestSchedule_EveryFault(t *testing.T) {
	for _, test := range []struct {
		store     string
		processes int
	}{{StoreMemory, 1}, {StoreBolt, 1}, {StoreRedis, 1}, {StoreRedis, 3}} {
		events := planned(t, Options{Store: test.store, Processes: test.processes, Duration: 10 * time.Minute, Seed: 1})
		for _, f := range possibleFaults(test.store, test.processes) {
			if !slices.ContainsFunc(events, func(e event) bool { return e.fault == f }) {
				t.Errorf("%d on %s: no %s in 10 minutes", test.processes, test.store, f)
			}
		}
		for _, e := range events {
			if !slices.Contains(possibleFaults(test.store, test.processes), e.fault) {
				t.Errorf("%d on %s: %v", test.processes, test.store, e)
			}
			if e.server >= test.processes || e.towards >= test.processes || e.at+e.lasts > 10*time.Minute {
				t.Errorf("it is out of bounds: %v", e)
			}
		}
	}
}

func TestSchedule_OneFaultPerTarget(t *testing.T) {
	for seed := range uint64(20) {
		until := make(map[string]time.Duration)
		for _, e := range planned(t, Options{Store: StoreRedis, Processes: 3, Duration: time.Minute, Every: 100 * time.Millisecond, Seed: seed}) {
			for _, target := range e.targets() {
				if until[target] > e.at {
					t.Fatalf("seed %d: %s suffers until %v already: %v", seed, target, until[target], e)
				}
				until[target] = e.at + e.lasts
			}
		}
	}
}

func TestSchedule_Kills(t *testing.T) {
	events := planned(t, Options{Store: StoreBolt, Kills: 200})
	if len(events) != 200 || slices.ContainsFunc(events, func(e event) bool { return e.fault != FaultKill }) {
		t.Errorf("%d events: %v", len(events), events)
	}
}

func TestSchedule_NoFaults(t *testing.T) {
	if events := planned(t, Options{Every: -1, Duration: time.Hour}); len(events) > 0 {
		t.Errorf("%v", events)
	}
}

func TestOptions_Invalid(t *testing.T) {
	for name, o := range map[string]Options{
		"no server":                {Dir: "d"},
		"no folder":                {Server: "s"},
		"unknown store":            {Server: "s", Dir: "d", Store: "paper"},
		"a negative number":        {Server: "s", Dir: "d", Clients: -1},
		"two on one file":          {Server: "s", Dir: "d", Store: StoreBolt, Processes: 2},
		"a fault it cannot have":   {Server: "s", Dir: "d", Faults: []Fault{FaultRedisKill}},
		"a fault that there isn't": {Server: "s", Dir: "d", Faults: []Fault{"flood"}},
	} {
		if _, err := o.withDefaults(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
