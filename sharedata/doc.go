// Package sharedata is the model of the framework: named pieces of JSON state
// that nobody writes and everybody proposes to.
//
// A Manager holds ShareData. A proposal names a registered Function, which is
// given the current state and the proposed data and returns the new state or
// rejects. The outcome is one transaction in the ShareData's ordered,
// hash-chained history, and observers are told of it.
//
// What is promised, for each ShareData:
//
//   - Ordered: entries are numbered 1, 2, 3, … without holes, and observers are
//     told of each once, in that order.
//   - Committed before seen: neither an observer nor a proposer hears of an
//     entry before the store has taken it.
//   - One winner: proposals are linearizable, also when several managers share
//     a store; where another was first, the functions run again on its outcome.
//   - Once only: of all proposals with one idempotency key at most one takes
//     effect, and every repeat gets its verdict, for as long as the store keeps
//     the transaction.
//   - Isolated: a function that panics, loops or blocks past its deadline fails
//     one proposal. Different ShareData never wait for each other, and an idle
//     one holds neither a goroutine nor a timer.
//   - Auditable: each entry carries the hash of the one before; see Verify.
//
// Several processes may share a store that is a replay.Follower. A ShareData that
// somebody observes is followed: what other processes commit reaches its
// observers as if it had been committed here, in order and once. Where entries
// lie in between that cannot be had, they are told of a Reset. A history that the
// store has lost, in part or whole, as by a failover, goes on in a new epoch, and
// is never mixed with what was known of it. While the store cannot be reached,
// states and recent history are served from memory, and proposals fail at once.
//
// ShareData are loaded when they are needed, and those that are idle are left to
// the store again when memory runs short (Options.MaxLoadedBytes).
//
// Proposals that arrive while an append is under way are committed together by
// the next one, so the rate of proposals is not bound by that of appends.
//
// A proposal that reaches no verdict leaves no entry: unknown ShareData or
// function, input that does not fit, a function that fails, a store that does.
package sharedata
