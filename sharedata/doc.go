// Package sharedata is the model of the framework: named pieces of JSON state
// that change only by proposals to registered functions.
//
// A Manager holds ShareData. A proposal names a Function, which gets the current
// state and the proposed data, and returns the new state or rejects. The outcome,
// accepted or rejected, is the verdict. It is appended as one transaction to the
// ShareData's ordered, hash-chained history, and observers are notified.
//
// # Guarantees
//
// For each ShareData:
//
//   - Ordered: entries have the revisions 1, 2, 3, … without holes. Each observer
//     is notified of each entry once, in that order.
//   - Committed before seen: an observer is notified, and a proposer gets its
//     verdict, only after the store has taken the entry. The observers are
//     notified before the proposer gets the verdict.
//   - One winner: proposals are linearizable, also when several managers share a
//     store. Where another process appended first, the functions run again on
//     the state that it left.
//   - Once only: of all proposals with one idempotency key at most one takes
//     effect. Every repeat gets the verdict of the first, for as long as the store
//     keeps the transaction.
//   - Known outcome: an error means that the change did not take effect, unless
//     errors.Is finds ErrOutcomeUnknown in it.
//   - Isolated: a function that panics, loops or blocks past its deadline fails
//     one proposal. Proposers take turns (Proposal.Connection), so one with slow
//     or many proposals delays another by at most one run per turn. Different
//     ShareData never wait for each other, and an idle one has neither a goroutine
//     nor a timer.
//   - Auditable: each entry carries the hash of the one before; see Verify, and
//     package audit for exports and signed checkpoints. What each entry changed is
//     recorded in it, and covered by its hash.
//
// # Functions
//
// NewFunction makes a Function of a Go function on typed state and input. Its
// input can be checked by a JSON Schema (Function.WithInputSchema) and against
// misspelled members (Function.WithStrictInput). It rejects with Reject, or with a
// code for programs with RejectWith. Function.Run evaluates a proposal without a
// manager, for unit tests.
//
// Functions are registered for one ShareData (Manager.Create, Manager.Ensure) or
// as a named Kind (Options.Kinds, Manager.CreateKind, Manager.EnsureKind).
//
// # States and patches
//
// A state is one JSON text, without white space between tokens and with <, > and &
// escaped, as encoding/json writes raw JSON; states that come in another form are
// brought into it. The entry of a transaction records what changed as a patch (RFC
// 6902) where that is smaller than the state. The patch is made once, by comparing the
// state that a function returned with the one it was given, and the new state is the
// text that applying it gives: so the manager, other processes, subscribers and
// auditors that apply patches hold the same bytes, which Entry.StateHash shows.
// NewPatchFunction makes a Function that returns the patch itself, for large states.
//
// The store gets a snapshot of the state only when the records since the last one have
// grown as large as the state. Replay computes the states that entries lead to, and
// Manager.StateAt the state at a position.
//
// # Proofs
//
// A proposal may carry a proof that authorizes exactly this change: by this caller, of
// this data, by this function, at this position and state of the ShareData. So it
// serves one change once. Options.ProofVerifier verifies proofs while proposals are
// evaluated; functions (Function.WithRequiredProof) and ShareData (Options.RequireProof)
// can require them. The accepted proof is kept in the entry, so that an auditor can
// verify it against the entry before. Package sharedata/proof has a verifier of
// signatures.
//
// # Errors
//
// A rejection is a verdict and an entry of the history. A proposal that gets no
// verdict leaves no entry: the ShareData or the function is unknown, the input is
// invalid, its proof is missing or not accepted, the function failed, or the store
// did.
//
// # Stores and processes
//
// ShareData are loaded from the store when they are used. Those that are idle are
// removed from memory when it runs short (Options.MaxLoadedBytes), and stay in the
// store. Proposals that arrive during an append are committed together by the
// next one, so a slow store costs latency rather than throughput.
//
// Several processes may share a store that is a replay.Follower. The store then
// notifies the manager of what other processes append to the ShareData that are
// observed here, and their observers are notified of it like of its own entries:
// in order and once. Where some of these entries cannot be read any more, the
// observers get a Reset. A history of which the store has lost the end, or all,
// as by a fail-over, continues from the last known state in a new epoch. While
// the store cannot be reached, states and recent history are served from memory,
// and proposals fail at once.
package sharedata
