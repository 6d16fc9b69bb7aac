package replaytest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// Harness gives the suite access to the store under test. Its functions are
// called from one goroutine at a time and end the test themselves, with Fatal or
// Skip, if they fail.
//
// When a test ends, the suite closes every store that a function returned and
// that has a Close method. A store may therefore be closed twice.
type Harness struct {
	// Open returns a new, empty store. It keeps at least 1000 entries and 4 MiB
	// of each history, of any age.
	Open func(t testing.TB) replay.Store

	// OpenBounded returns a new, empty store that keeps the newest entries of
	// each history, that many or all after the newest snapshot, and may keep up to
	// 1000 more. Nil if the store cannot bound what it keeps.
	OpenBounded func(t testing.TB, entries int) replay.Store

	// OpenBoundedBy has functions that return a new, empty store that bounds what
	// it keeps of each history in another way, and as tightly as it can: to one
	// byte, or to the smallest age. The keys of the map name the bounds.
	OpenBoundedBy map[string]func(t testing.TB) replay.Store

	// Reopen closes the store and returns one with the same content. Nil if
	// content does not outlive a store.
	Reopen func(t testing.TB, store replay.Store) replay.Store

	// Second returns another handle on the content of the store, as another
	// process would open it; both stay open. Nil if content cannot be shared. If
	// the store is a replay.Follower, so is the handle.
	Second func(t testing.TB, store replay.Store) replay.Store

	// Lose deletes the history of the id and everything that the store remembers
	// of it, also that it was there, as if the medium had been emptied or
	// restored from an early backup. It may delete other histories too, and does
	// not notify the handles. Nil if that cannot happen to a replay.Follower.
	Lose func(t testing.TB, store replay.Store, id string)

	// Patience is how long a replay.Follower may take to notify. 0 is the default
	// of 30 seconds.
	Patience time.Duration

	// Seed seeds the random tests. 0 draws a seed.
	Seed uint64
}

// Run runs the suite, one subtest for each promise.
func Run(t *testing.T, harness Harness) {
	for _, check := range checks() {
		t.Run(check.name, func(t *testing.T) {
			check.run(newFixture(t, harness))
		})
	}
}

// check tests one promise.
type check struct {
	name string
	run  func(f *fixture)
}

// checks returns the suite, in the order of the interface.
func checks() []check {
	return []check{
		{"a batch commits whole at the expected head", commitsWhole},
		{"a batch at another head is refused", refusesOtherHeads},
		{"a refusal has all that was missed or nothing", refusalHasMissed},
		{"an invalid batch changes nothing", refusesInvalid},
		{"every batch replaces the meta", replacesMeta},
		{"another meta is refused", refusesOtherMetas},
		{"a known key is refused", refusesKnownKeys},
		{"new keys commit", acceptsNewKeys},
		{"a refusal names the first reason", refusesInOrder},

		{"a snapshot replaces the one before", replacesSnapshot},
		{"load leaves out a snapshot that is not needed", leavesSnapshotOut},

		{"a restart replaces the history", restarts},
		{"a restart may find earlier keys in their own epoch", findsEarlierKeys},
		{"a trimmed history restarts", restartsTrimmed},

		{"read returns exactly what followed", readsWhatFollowed},
		{"a cursor that nothing continues is refused", refusesCursors},

		{"trimming keeps the newest entries and the snapshot", trimsOldest},
		{"entries after the snapshot are never trimmed", keepsAfterSnapshot},
		{"keys are forgotten with their entries", forgetsKeys},
		{"keys find their newest entries", findsNewest},

		{"a removed history is gone", removes},
		{"a removed history starts in a later epoch only", startsInLaterEpoch},
		{"epochs are compared exactly", comparesEpochs},

		{"ids are complete", idsAreComplete},

		{"contents come back byte for byte", keepsContents},
		{"ids are any text", keepsIDs},
		{"keys are any text", keepsKeys},
		{"a batch may be long", keepsLongBatches},
		{"results stay unchanged", keepsResults},

		{"each revision is won once", eachRevisionWonOnce},
		{"one of many batches wins", oneBatchWins},
		{"a new key is won once", oneNewKeyWins},
		{"ids are independent", idsAreIndependent},
		{"readers see one epoch without holes", readersSeeNoHoles},
		{"readers of a trimmed history see no holes", trimmedReadersSeeNoHoles},

		{"an ended context changes nothing", respectsContexts},
		{"a batch stays whole when its context ends", staysWhole},
		{"a closed store refuses everything", refusesWhenClosed},
		{"handles see each other's changes", handlesAgree},

		{"a reopened store has everything", reopens},
		{"a reopened store remembers epochs", reopensWithEpochs},
		{"a reopened store stays trimmed", reopensTrimmed},
		{"acknowledged batches survive reopening", reopensWithAcknowledged},

		{"followers are notified of the start and of every append", notifiesOfAppends},
		{"followers get any contents", notifiesOfContents},
		{"a small change to a large state is announced whole", notifiesOfLargeStates},
		{"followers see starts, restarts and removals", notifiesOfEpochs},
		{"followers see their own history only", notifiesOfOneHistory},
		{"stop ends the notifications", stopEndsNotifications},
		{"nothing waits for notify", notifyBlocksNothing},
		{"many follow at once", manyFollow},
		{"close ends the notifications", closeEndsNotifications},
		{"a removed history is not found at once", removedWhileFollowed},
		{"a lost history is unavailable while followed", lostWhileFollowed},

		{"a reservation excludes others", reservationExcludesOthers},
		{"a reservation ends with the next append", reservationEndsWithAppend},
		{"a reservation expires", reservationExpires},

		{"random operations match a model", matchesModel},
		{"random operations on a trimmed store match a model", matchesModelTrimmed},
	}
}

// fixture is one run of one check.
type fixture struct {
	testing.TB
	harness Harness
	ctx     context.Context
}

func newFixture(t testing.TB, harness Harness) *fixture {
	if harness.Patience <= 0 {
		harness.Patience = 30 * time.Second
	}
	return &fixture{TB: t, harness: harness, ctx: t.Context()}
}

// open returns the store of Harness.Open.
func (f *fixture) open() *handle {
	f.Helper()
	return f.handle(f.harness.Open(f.TB))
}

// openTwo returns two handles on one store, which are the same if the harness
// has no Second.
func (f *fixture) openTwo() (h, other *handle) {
	f.Helper()
	h = f.open()
	return h, f.second(h)
}

// openBounded returns the store of Harness.OpenBounded or skips the test.
func (f *fixture) openBounded(entries int) *handle {
	f.Helper()
	if f.harness.OpenBounded == nil {
		f.Skipf("the harness has no OpenBounded")
	}
	return f.handle(f.harness.OpenBounded(f.TB, entries))
}

// reopen returns the store of Harness.Reopen or skips the test.
func (f *fixture) reopen(h *handle) *handle {
	f.Helper()
	if f.harness.Reopen == nil {
		f.Skipf("the harness has no Reopen")
	}
	return f.handle(f.harness.Reopen(f.TB, h.store))
}

// second returns the handle of Harness.Second, and h if there is none.
func (f *fixture) second(h *handle) *handle {
	f.Helper()
	if f.harness.Second == nil {
		return h
	}
	return f.handle(f.harness.Second(f.TB, h.store))
}

// handle wraps a store, which it closes when the test ends.
func (f *fixture) handle(store replay.Store) *handle {
	f.Helper()
	if store == nil {
		f.Fatalf("the harness returned no store")
	}
	if closer, ok := store.(io.Closer); ok {
		f.Cleanup(func() {
			if err := closer.Close(); err != nil {
				f.Errorf("Close: %v", err)
			}
		})
	}
	return &handle{fixture: f, store: store}
}

// eventually ends the test if a condition does not become true.
func (f *fixture) eventually(what string, done func() bool) {
	f.Helper()
	late := time.NewTimer(f.harness.Patience)
	defer late.Stop()
	tick := time.NewTicker(50 * time.Microsecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late.C:
			f.Fatalf("waited %v for %s", f.harness.Patience, what)
		}
	}
}
