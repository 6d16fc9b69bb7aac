// Package replaytest is the conformance suite of replay.Store: what the interface
// promises, as tests that are named after the promises. A store runs it from a
// test of its own:
//
//	func TestConformance(t *testing.T) {
//		replaytest.Run(t, replaytest.Harness{
//			Open: func(t testing.TB) replay.Store { … },
//		})
//	}
//
// The tests of what only some stores promise are skipped for the others: to trim
// histories, to keep them in a file, to share them, and to be a replay.Follower.
//
// The suite never sleeps, so a store must have done its work when a call returns.
// For the notifications of a Follower it waits as long as Harness.Patience. It may
// run under the race detector. It detects goroutines that are left behind by
// following; a store's own TestMain should detect all others. The random tests
// log their seed; Harness.Seed repeats it.
package replaytest
