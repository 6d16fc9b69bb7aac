// Package checker judges recorded histories: what clients were told and what
// they were answered, held against the history that was committed.
//
// A test records into a Recorder while it runs, from any number of goroutines,
// and asks it for the Violations at the end. What is judged, by the names that
// violations are grouped under:
//
//   - Ordered: revisions come in their order; so do the verdicts on proposals
//     that went down one connection, and each after its own transaction.
//   - Gapless, Once: between a state and the end of that subscription every
//     later revision comes, and comes once.
//   - NeverInterleaved: state, replayed frames, live frames; nothing outside of
//     that order, nothing after a removal.
//   - Resumable: a cursor inside the window is followed by exactly what came
//     after it; any other by the word that it was not found. The user of a
//     client is told of a resumption or of a gap.
//   - CommittedBeforeSeen: every frame and every verdict is in the history, and
//     says the same.
//   - OneWinner: each revision was decided once, after its proposal was sent
//     and after whatever had been seen by then, with the outcome that a Model
//     computes; where asked for, a search for a linearization finds one.
//   - OnceOnly: one idempotency key, one transaction, one verdict; where asked
//     for, nothing is in the history that nobody had asked for.
//   - Auditable: the chain of hashes is unbroken and ends with the final state.
//   - Complete: where asked for, whoever is still subscribed got to the end.
//
// A promise is judged as far as the recording reaches: what a cut connection
// swallowed is not missed, and what is said of an epoch whose history nobody
// recorded is held against what others were told of it.
//
// There are three ways to record a subscriber, by what the test has in hand:
// a Connection for all the frames of a raw connection, a Subscriber for the
// frames of one ShareData, a User for what a reconnecting client delivers.
// Recorder.Proposed, Updating and Creating record what is asked for,
// Recorder.Observe, History and HistorySoFar what was committed, and
// Recorder.Losing that the test makes a store lose it. A thing is recorded before it is sent and after it was
// received; then the order of recording is good evidence of the order in time.
package checker
