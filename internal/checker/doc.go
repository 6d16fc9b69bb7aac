// Package checker evaluates recorded runs: it compares the frames and results that
// clients received with the history that was committed.
//
// A test records into a Recorder while it runs, from any number of goroutines, and
// calls Check at the end. Check returns Violations of these promises:
//
//   - Ordered: frames come in the order of their revisions. The proposals of one
//     connection are decided in the order of sending, and the result of each comes
//     after its transaction.
//   - Gapless, Once: between a state and the end of the subscription every later
//     revision comes, and comes once; or a state that the subscriber asked for (conflate)
//     says exactly how many it skipped.
//   - NeverInterleaved: the state comes first, then replayed frames, then live ones;
//     no other order, and nothing after a removal.
//   - Resumable: a cursor inside the window is followed by exactly the entries after
//     it, any other by "cursor not found". A state is left out only where the
//     subscriber asked for patches, has it, and is resumed. A client reports a
//     resumption or a gap.
//   - CommittedBeforeSeen: the entry of every frame and result is in the history, and
//     says the same.
//   - InSync: a subscriber has patches if it asked for them, and every state that it
//     computes from them, and every stateHash, is the one that the history records.
//   - OneWinner: each revision was decided once, after its proposal was sent and after
//     all entries that were received before that, with the outcome that a Model
//     computes. Together this is linearizability.
//   - OnceOnly: one idempotency key has one transaction and one verdict. Where
//     Options.Attributed is set, every entry was asked for, and not by an operation
//     whose result says that nothing happened.
//   - Auditable: the chain of hashes is unbroken and ends with the final state.
//   - Complete: where Options.Complete is set, every live subscription is current.
//
// Check evaluates what was recorded and nothing beyond: frames that a broken
// connection lost are not missing, and frames of an epoch whose history was not
// recorded are compared with each other.
//
// There are three ways to record a subscription: a Connection records all frames of
// a connection, a Subscriber those about one ShareData, a Client the events of a
// reconnecting client. Recorder.Proposed, Updating and Creating record operations;
// Recorder.Observe, History and PartialHistory what was committed; Recorder.Losing
// and StoreUnreachable which faults the test injects. Record before you send and
// after you receive: then the order of the records is evidence of the order in time.
package checker
