// Package replay keeps histories: per id an ordered log of opaque entries and
// the newest state, appended only at the expected head.
//
// A Store is the leaf of the framework. It promises:
//
//   - Compare-and-append: a batch is committed whole, at the head its sender
//     expected, or not at all. Whatever the number of processes that share the
//     store, each revision is decided once. A batch may also demand that the
//     head carries a certain Meta, and that its keys are new.
//   - One epoch at a time: a history that is removed and started again, or is
//     started over, goes on in a later epoch, and nothing of the one is ever
//     taken for the other.
//   - No guesses: Read returns exactly what followed a cursor or says why it
//     cannot: too old, of another epoch, from the future.
//   - Retention is the store's own affair and never costs the newest state.
//
// A store that several processes share is a Follower too.
//
// Memory is the store that needs nothing installed. Package replaytest holds
// the suite that every store passes.
package replay
