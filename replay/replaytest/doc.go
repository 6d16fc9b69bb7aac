// Package replaytest is the conformance suite of replay.Store: what the
// interface promises, as tests by the names of the promises. A store runs it
// from a test of its own:
//
//	func TestConformance(t *testing.T) {
//		replaytest.Run(t, replaytest.Harness{
//			Open: func(t testing.TB) replay.Store { … },
//		})
//	}
//
// What only some stores promise is skipped for the others: to keep content in a
// file, to share it, and to be a replay.Follower.
//
// The suite sleeps nowhere, so a store must answer when its work is done and
// not before; for what a Follower tells it waits as long as Harness.Patience.
// It may be run under the race detector, and sees goroutines that following
// leaves behind; a store's own TestMain should look for all others. A test at
// random prints its seed when it fails; Harness.Seed repeats it.
package replaytest
