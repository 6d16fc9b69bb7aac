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
// The suite sleeps nowhere, so a store must answer when its work is done and
// not before. It may be run under the race detector. A test at random prints
// its seed when it fails; Harness.Seed repeats it.
package replaytest
