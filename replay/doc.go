// Package replay keeps histories: per id an ordered log of opaque entries and the
// newest snapshot of its state, appended only at the expected head.
//
// A Store promises:
//
//   - Compare-and-append: a batch is committed whole, at the head that its sender
//     expected, or not at all. However many processes share the store, each
//     revision is decided once. A batch may also require that the head has a
//     certain Meta and that its keys are new.
//   - One epoch at a time: a history that was removed and created again, or that
//     was restarted, continues in a later epoch, and a cursor of one epoch never
//     matches an entry of another.
//   - No guesses: Read returns exactly what followed a cursor, or an error that
//     says why it cannot: the cursor is too old, of another epoch, or after the
//     head.
//   - Retention is up to the store, but never removes the newest snapshot, nor the
//     entries after it: together they lead to the newest state.
//
// A store that several processes share is also a Follower: it notifies each
// process of what the others append.
//
// Memory is the in-memory store. Packages replay/bolt and replay/redis keep
// histories in a file and in Redis. Package replaytest has the conformance suite
// that every store passes.
package replay
