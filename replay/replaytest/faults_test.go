package replaytest

import (
	"slices"
	"testing"
)

func TestChecks_PassWithoutFault(t *testing.T) {
	for _, check := range checks() {
		kept := record(t, check, harnessOf(fault{}))
		shared := record(t, check, followingHarness(fault{}))
		for _, r := range []*recorder{kept, shared} {
			if len(r.failures) > 0 {
				t.Errorf("%s: failures %.3q", check.name, r.failures)
			}
		}
		if kept.skipped && shared.skipped {
			t.Errorf("%s: skipped", check.name)
		}
	}
}

func TestHarness_SkipsWhatItLacks(t *testing.T) {
	want := []string{
		"a trimmed history restarts",
		"trimming keeps the newest entries and the snapshot",
		"entries after the snapshot are never trimmed",
		"keys are forgotten with their entries",
		"readers of a trimmed history see no holes",
		"handles see each other's changes",
		"a reopened store has everything",
		"a reopened store remembers epochs",
		"a reopened store stays trimmed",
		"acknowledged batches survive reopening",
		"followers are notified of the start and of every append",
		"followers get any contents",
		"a small change to a large state is announced whole",
		"followers see starts, restarts and removals",
		"followers see their own history only",
		"stop ends the notifications",
		"nothing waits for notify",
		"many follow at once",
		"close ends the notifications",
		"a removed history is not found at once",
		"a lost history is unavailable while followed",
		"a reservation excludes others",
		"a reservation ends with the next append",
		"a reservation expires",
		"random operations on a trimmed store match a model",
	}
	harness := Harness{Open: harnessOf(fault{}).Open}
	for _, check := range checks() {
		r := record(t, check, harness)
		if len(r.failures) > 0 || r.skipped != slices.Contains(want, check.name) {
			t.Errorf("%s: skipped %t, failures %.3q", check.name, r.skipped, r.failures)
		}
	}
}

func TestFaults_AreCaught(t *testing.T) {
	byName := make(map[string]check)
	for _, check := range checks() {
		byName[check.name] = check
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			for _, name := range f.caught {
				check, found := byName[name]
				if !found {
					t.Fatalf("there is no check by the name %q", name)
				}
				harness := harnessOf(f)
				if f.follower != nil {
					harness = followingHarness(f)
				}
				r := record(t, check, harness)
				if len(r.failures) == 0 {
					t.Errorf("%q does not detect it", name)
				} else {
					t.Logf("%s: %.200s", name, r.failures[0])
				}
			}
		})
	}
}

func TestChecks_EachFails(t *testing.T) {
	caught := make(map[string]bool)
	for _, f := range faults() {
		for _, name := range f.caught {
			caught[name] = true
		}
	}
	for _, check := range checks() {
		if !caught[check.name] {
			t.Errorf("no planted fault makes %q fail", check.name)
		}
	}
}

// faults returns the faults that the suite must detect.
func faults() []fault {
	return slices.Concat(faultsOfAppend, faultsOfRestart, faultsOfSnapshot, faultsOfRead, faultsOfRemoval, faultsOfContent, faultsOfFollower)
}
