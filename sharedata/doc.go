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
// Proposals that arrive while an append is under way are committed together by
// the next one, so the rate of proposals is not bound by that of appends.
//
// A proposal that reaches no verdict leaves no entry: unknown ShareData or
// function, input that does not fit, a function that fails, a store that does.
package sharedata
