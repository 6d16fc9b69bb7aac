// Package schedule makes proposals at a chosen time.
//
// A scheduled proposal is durable, in the store of the manager: it is part of the
// state of a ShareData, so its history tells who scheduled it, who cancelled it, and
// what became of it, and package audit exports that. Any number of processes may
// schedule, list, replace and cancel; those in which Run is called propose what is due.
//
//   - Not early, not lost. A proposal is made at its time, by the clock of the process
//     that makes it, or as soon after that as a process is alive: also what became due
//     while there was none. What is due for one ShareData is submitted in the order of
//     the times.
//   - Once. Each has an ID, which is its idempotency key: however many processes try,
//     and whenever they are killed, one transaction decides it, as long as the store
//     keeps that transaction (sharedata.Proposal.IdempotencyKey). A clock that is set
//     back makes nothing happen twice.
//   - Cancelled is cancelled. Cancel succeeds only for a proposal that has not been
//     made and will not be; from the moment at which a process has begun to make it,
//     Cancel fails with ErrBegun. Replace cancels and schedules in one commit.
//   - As its caller. The caller is kept, except for its Value, and proposes; what it may
//     do at that time is asked by Options.Authorize.
//
// A proposal that gets no verdict because the store or the ShareData is busy is made
// again until it has one. One that can have none, for example because the ShareData was
// removed, ends with the error, which the history tells.
//
// What waits costs the memory of its data and its caller, and about 400 bytes, beside
// the history that the store keeps. There is one timer and no goroutine for each, and
// nothing is asked periodically of the store.
package schedule
