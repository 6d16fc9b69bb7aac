// Package client is the client side of the protocol: it keeps one WebSocket to a
// server, subscribes to ShareData, proposes changes, and reconnects, catches up
// and repeats by itself.
//
// What it promises:
//
//   - Ordered, gapless, once. A loop over [Subscription.Events] sees every
//     revision after its [State] exactly once and in order, across any number of
//     lost connections. The revisions show a frame that is missing or comes twice. With
//     [SubscribeOptions].Conflate the loop is told instead how many it skipped.
//   - Resumed or a gap, never a guess. After each reconnect the loop gets either a
//     State that is Resumed, and then what it missed, or a [Gap] and then a State.
//     The position moves only past what the loop has received, so a connection
//     lost in the middle of a replay resumes in the middle.
//   - The state with every event, for what changed. From a server that can, a
//     subscription gets JSON Patches (RFC 6902) instead of whole states, also for what
//     it missed, and keeps the state to which they apply, up to
//     [Options].KeptStateBytes. What a loop gets is checked against the hashes that the
//     server sends: where a state differs, the log says so, and the loop gets a Gap and
//     the whole state. Between two hashes, which a server sends with every State and
//     every 32 revisions, a difference is not noticed.
//   - A verdict, or an error that says what is known. [Client.Propose] sends a
//     proposal again, under one idempotency key, until there is a verdict or its
//     time is up. Then [OutcomeUnknownError] says that it may have taken effect,
//     and carries the key; any other error says that it has not.
//   - Bounded. Calls wait in a bounded queue. Events that wait hold what was received,
//     patches and not the states that they make. A consumer that is too slow costs a
//     bounded number of bytes: its subscription pauses, and catches up as after a
//     reconnect when the consumer is ready. Reading never waits for a consumer, so
//     other subscriptions and calls go on.
//   - Isolated. A refused subscribe or proposal ends with the server's error and
//     disturbs no other: a subscribe to an unknown ShareData asks the server to
//     keep the connection (keepConnection).
//   - No endless loops. What a server refuses for good is not repeated. Attempts to
//     connect are repeated after a backoff with jitter, and errors of calls name
//     why there is no connection. A rejected credential stops the client where
//     no other can be had: without [Options.Token], with [StaticToken], and where
//     the source of tokens returns a [Permanent] error.
//   - One connection over many tokens. Where the server can renew tokens, a token of
//     [Options.Token] is renewed over the open connection before it expires. Where it
//     cannot, the connection ends with the token, and the client reconnects and
//     resumes. Either way no event is missed.
//   - No leaks. Everything takes a context, and [Client.Close] waits for the
//     goroutines that the client started.
//
// The server may be one that numbers nothing, sends no codes and knows no
// idempotency keys or patches, such as that of the npm package @degenerate/realtime. With such
// a server:
//
//   - Events carry the states that the server sends, and replayed ones none.
//   - A missing frame is not noticed, and a wholesale update made while there was
//     no connection shows only in the State.
//   - A proposal that is sent again, by this package after a lost connection or by
//     its caller after ErrOutcomeUnknown, may take effect twice, unless it carries
//     a proof that is good for one position only.
//   - A ping behind the state decides whether a reconnect resumed: what the server
//     has not replayed before its pong is taken not to exist. If the server then
//     says that it could not replay, the Gap comes late.
//   - A subscribe to an unknown ShareData closes the connection; the client
//     reconnects and resumes its other subscriptions.
package client
