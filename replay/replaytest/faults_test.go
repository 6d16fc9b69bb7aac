package replaytest

import (
	"slices"
	"testing"
)

func TestASoundStorePassesEveryCheck(t *testing.T) {
	for _, check := range checks() {
		r := record(t, check, harnessOf(fault{}))
		if len(r.failures) > 0 || r.skipped {
			t.Errorf("%s: skipped %t, failures %.3q", check.name, r.skipped, r.failures)
		}
	}
}

func TestAHarnessWithoutExtrasSkipsWhatNeedsThem(t *testing.T) {
	want := []string{
		"oldest agrees with read",
		"the newest state outlives its entry",
		"keys are forgotten with their entries",
		"readers of a trimmed history see no holes",
		"a reopened store has kept everything",
		"a reopened store knows the epochs of removed histories",
		"handles see each other's changes",
		"any sequence of operations on a trimmed store does what the model does",
	}
	harness := Harness{Open: harnessOf(fault{}).Open}
	for _, check := range checks() {
		r := record(t, check, harness)
		if len(r.failures) > 0 || r.skipped != slices.Contains(want, check.name) {
			t.Errorf("%s: skipped %t, failures %.3q", check.name, r.skipped, r.failures)
		}
	}
}

func TestEveryPlantedFaultIsCaught(t *testing.T) {
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
				r := record(t, check, harnessOf(f))
				if len(r.failures) == 0 {
					t.Errorf("%q does not see it", name)
				} else {
					t.Logf("%s: %.200s", name, r.failures[0])
				}
			}
		})
	}
}

func TestEveryCheckIsSeenToFail(t *testing.T) {
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

// faults returns the faults that the suite must see.
func faults() []fault {
	return slices.Concat(appendFaults(), readFaults(), retentionFaults(), keyFaults(), removalFaults(),
		idFaults(), contentFaults(), lifecycleFaults())
}
