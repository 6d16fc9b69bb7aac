package replaytest

import (
	"slices"
	"testing"
)

func TestASoundStorePassesEveryCheck(t *testing.T) {
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

func TestAHarnessWithoutExtrasSkipsWhatNeedsThem(t *testing.T) {
	want := []string{
		"a trimmed history starts over",
		"oldest agrees with read",
		"the newest state outlives its entry",
		"keys are forgotten with their entries",
		"readers of a trimmed history see no holes",
		"readers of a trimmed history that starts over see one epoch at a time",
		"a reopened store has kept everything",
		"a reopened store knows the epochs of removed histories",
		"a reopened store knows where a history started over",
		"a reopened store keeps what it had not trimmed",
		"what was acknowledged is there after reopening",
		"handles see each other's changes",
		"a follower is told when the telling has begun",
		"a follower is told what any handle appends",
		"a follower is told of contents of any kind and size",
		"a follower is told of starts, starts over and ends",
		"a follower is told of its own history",
		"stop ends the telling",
		"nobody waits for tell, and tell may follow and stop",
		"any number may follow at once",
		"closing the store ends the telling",
		"a claim keeps others out",
		"a claim ends with the next append",
		"a claim ends by itself",
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
				harness := harnessOf(f)
				if f.following != nil {
					harness = followingHarness(f)
				}
				r := record(t, check, harness)
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
		idFaults(), contentFaults(), lifecycleFaults(), reopenFaults(), demandFaults(), overFaults(),
		holdingFaults(), followFaults())
}
