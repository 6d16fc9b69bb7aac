// Package replay keeps histories: per id an ordered log of opaque entries and
// the newest state, appended only at the expected head.
//
// A Store is the leaf of the framework. It promises:
//
//   - Compare-and-append: a batch is committed whole, at the head its sender
//     expected, or not at all. Whatever the number of processes that share the
//     store, each revision is decided once.
//   - No guesses: Read returns exactly what followed a cursor or says why it
//     cannot: too old, of another epoch, from the future.
//   - Retention is the store's own affair and never costs the newest state.
//
// Memory is the store that needs nothing installed. Package replaytest holds
// the suite that every store passes.
package replay
