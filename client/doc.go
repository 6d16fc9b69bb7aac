// Package client is the client side of the protocol: it keeps one WebSocket to
// a server, subscribes to ShareData, proposes changes, and reconnects, catches
// up and repeats by itself.
//
// What it promises:
//
//   - Ordered, gapless, once. A loop over [Subscription.Events] sees every
//     revision after its [State] exactly once and in order, across any number
//     of lost connections; a frame that is missing or comes twice is noticed by
//     its revision.
//   - Resumed or a gap, never a guess. After each reconnect the loop gets either
//     a State that is Resumed, and then what it missed, or a [Gap] and then a
//     State. The position moves only past what was handed to the loop, so a
//     connection lost in the middle of a replay resumes in the middle.
//   - A verdict, not "connection closed". A proposal is sent again, under one
//     idempotency key, until there is a verdict or its time is up. Time counts
//     from the call. While there is no connection, calls wait in a bounded
//     queue.
//   - Bounded. A consumer that is too slow costs a bounded number of bytes: its
//     subscription pauses, and catches up like after a reconnect when the
//     consumer is ready. Reading never waits for a consumer, so other
//     subscriptions and calls go on.
//   - No loops. What a server refuses for good (an unknown ShareData, a message
//     it cannot accept, a missing credential) ends what asked for it, with the
//     server's words. Anything else is tried again after a backoff with jitter.
//   - Nothing left behind. Everything takes a context, and [Client.Close] waits
//     for what the client started.
//
// The server may be one that numbers nothing and knows no idempotency keys, such
// as that of the npm package @degenerate/realtime. Then a missing frame cannot
// be noticed, a wholesale update made while there was no connection shows only
// in the State, and a proposal in flight when the connection broke may take
// effect twice unless it carries a proof that is good for one position only. How
// a reconnect went is decided with a ping behind the state: what the server has
// not replayed by its pong is taken not to exist, and a Gap is told late if that
// was wrong.
package client
