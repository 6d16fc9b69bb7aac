package replaytest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// Harness tells the suite how to get at the store under test. Its functions
// are called from one goroutine at a time and end the test by themselves, with
// Fatal or Skip, if they cannot do their part.
//
// The suite closes every store that a Harness returned and that has a Close
// method, when the test that asked for it ends. A store may therefore be
// closed twice.
type Harness struct {
	// Open returns a new, empty store. It keeps at least 1000 entries and
	// 4 MiB of each history, of any age.
	Open func(t testing.TB) replay.Store

	// OpenBounded returns a new, empty store that keeps the newest entries of
	// each history, and may keep up to 1000 more. Nil if the store cannot
	// bound what it keeps: the tests of retention are skipped.
	OpenBounded func(t testing.TB, entries int) replay.Store

	// Reopen closes the store and returns one on the same content. Nil if
	// nothing outlives a store.
	Reopen func(t testing.TB, store replay.Store) replay.Store

	// Second returns another handle on the content of the store, as another
	// process would open it; both stay open. Nil if content cannot be shared.
	// If the store is a replay.Follower, so is the handle.
	Second func(t testing.TB, store replay.Store) replay.Store

	// Patience is how long a replay.Follower may take to tell what it must. The
	// default is 30 seconds.
	Patience time.Duration

	// Seed starts the operations at random. Zero draws a seed.
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

// check is one promise and how it is tested.
type check struct {
	name string
	run  func(f *fixture)
}

// checks returns the suite, in the order of the interface.
func checks() []check {
	return []check{
		{"a batch commits at the head it expects", commitsAtHead},
		{"a batch commits whole", commitsWhole},
		{"a batch that expects another head is refused", refusesOtherHeads},
		{"a refused batch leaves nothing behind", refusalChangesNothing},
		{"a refusal says what was missed or nothing", refusalSaysWhatWasMissed},
		{"a misnumbered batch is invalid", refusesMisnumberedBatches},
		{"every batch replaces the meta", replacesMeta},
		{"a batch that expects another meta is refused", refusesOtherMetas},
		{"a meta that is nil, or without a head, is not compared", nilMetaIsNotCompared},
		{"a batch with a known key is refused", refusesKnownKeys},
		{"a batch with new keys commits", takesNewKeys},
		{"a new key is new once", oneNewKeyWins},
		{"a refusal names one reason: the head, then the meta, then the keys", refusesInOrder},

		{"a history starts over whole", startsOver},
		{"a batch may start a history over and end it", startsOverAndEnds},
		{"a history starts over at its head and in a later epoch", startsOverOnlyAtTheHead},
		{"the epochs of a start over are compared exactly", startsOverInExactlyLaterEpochs},
		{"earlier keys are found in their own epoch or not at all", findsEarlierKeysInTheirEpoch},
		{"a trimmed history starts over", trimsWhatStartsOver},
		{"one of many starts over wins", oneStartOverWins},

		{"read returns exactly what followed", readsWhatFollowed},
		{"read in pieces repeats and misses nothing", readsInPieces},
		{"a cursor that nothing continues is refused", refusesCursors},
		{"there is nothing to read where there is no history", readsNoHistory},

		{"oldest agrees with read", oldestAgreesWithRead},
		{"the newest state outlives its entry", stateOutlivesEntry},
		{"keys are forgotten with their entries", keysForgottenWithEntries},

		{"keys find their entries", keysFindEntries},
		{"a repeated key finds the newest entry", repeatedKeyFindsNewest},

		{"a removed history is gone", removedIsGone},
		{"a history starts again only in a later epoch", startsInLaterEpoch},
		{"nothing of an earlier epoch comes back", nothingComesBack},
		{"a batch may start and end a history", startsAndEnds},
		{"epochs are compared exactly", comparesEpochsExactly},

		{"ids are complete", idsAreComplete},
		{"the store may be used while ids are ranged over", usableDuringIDs},

		{"contents come back byte for byte", keepsContents},
		{"ids are any text", keepsIDs},
		{"keys are any text", keepsKeys},
		{"ids and keys are told apart", keepsIDsAndKeysApart},
		{"a batch may be long", keepsLongBatches},
		{"what was returned stays as it was", keepsWhatItReturned},

		{"each revision is won once", eachRevisionWonOnce},
		{"one of many starts wins", oneStartWins},
		{"different ids do not disturb each other", idsAreIndependent},
		{"readers see a growing history without holes", readersSeeNoHoles},
		{"readers of a trimmed history see no holes", trimmedReadersSeeNoHoles},
		{"readers of a history that starts over see one epoch at a time", readersSeeOneEpoch},
		{"readers of a history that starts over without an end see one epoch at a time", readersSeeItStartOver},
		{"readers of a trimmed history that starts over see one epoch at a time", trimmedReadersSeeItStartOver},

		{"an ended context changes nothing", honoursContexts},
		{"a context that ends meanwhile leaves a whole batch or none", endsContextsMeanwhile},
		{"a closed store refuses everything", refusesWhenClosed},
		{"a reopened store has kept everything", reopens},
		{"a reopened store knows the epochs of removed histories", reopensWithEpochs},
		{"a reopened store knows where a history started over", reopensWhatStartedOver},
		{"a reopened store keeps what it had not trimmed", reopensTrimmed},
		{"what was acknowledged is there after reopening", reopensWithAcknowledged},
		{"handles see each other's changes", handlesAgree},

		{"a follower is told when the telling has begun", tellsThatItTells},
		{"a follower is told what any handle appends", tellsWhatIsAppended},
		{"a follower is told of contents of any kind and size", tellsOfAnyContents},
		{"a follower is told of starts, starts over and ends", tellsOfStartsAndEnds},
		{"a follower is told of its own history", tellsOfOneHistory},
		{"stop ends the telling", stopEndsTheTelling},
		{"nobody waits for tell, and tell may follow and stop", tellIsFree},
		{"any number may follow at once", manyFollow},
		{"closing the store ends the telling", closeEndsTheTelling},

		{"a claim keeps others out", claimKeepsOthersOut},
		{"a claim ends with the next append", claimEndsWithTheNextAppend},
		{"a claim ends by itself", claimEndsByItself},

		{"any sequence of operations does what the model does", matchesModel},
		{"any sequence of operations on a trimmed store does what the model does", matchesModelTrimmed},
	}
}

// open returns the store of Harness.Open.
func (f *fixture) open() *subject {
	f.Helper()
	return f.closing(f.harness.Open(f.TB))
}

// openBounded returns the store of Harness.OpenBounded or skips the test.
func (f *fixture) openBounded(entries int) *subject {
	f.Helper()
	if f.harness.OpenBounded == nil {
		f.Skipf("the harness has no OpenBounded")
	}
	return f.closing(f.harness.OpenBounded(f.TB, entries))
}

// reopen returns the store of Harness.Reopen or skips the test.
func (f *fixture) reopen(s *subject) *subject {
	f.Helper()
	if f.harness.Reopen == nil {
		f.Skipf("the harness has no Reopen")
	}
	return f.closing(f.harness.Reopen(f.TB, s.store))
}

// second returns the handle of Harness.Second, and s if there is none.
func (f *fixture) second(s *subject) *subject {
	f.Helper()
	if f.harness.Second == nil {
		return s
	}
	return f.closing(f.harness.Second(f.TB, s.store))
}

func (f *fixture) closing(store replay.Store) *subject {
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
	return &subject{fixture: f, store: store}
}

// patience is Harness.Patience or its default.
func (f *fixture) patience() time.Duration {
	if f.harness.Patience > 0 {
		return f.harness.Patience
	}
	return 30 * time.Second
}

// fixture is one run of one check.
type fixture struct {
	testing.TB
	harness Harness
	ctx     context.Context
}

func newFixture(t testing.TB, harness Harness) *fixture {
	return &fixture{TB: t, harness: harness, ctx: t.Context()}
}
