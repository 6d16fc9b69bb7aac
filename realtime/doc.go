// Package realtime serves the ShareData of a manager over WebSocket, server-sent events
// and HTTP, which are transports of the same sessions: docs/protocol.md. A client
// subscribes to a ShareData and is sent its state, then what it missed, then
// every transaction in order; it proposes, and is sent the result.
//
// A Server is an http.Handler:
//
//	server, err := realtime.NewServer(manager, nil)
//	...
//	http.Handle("/realtime", server)
//
// The protocol is version 1 of the frames that package schemas describes. The
// hooks in Options decide who may do what, and the limits there bound what a
// connection may cost.
//
// # Guarantees
//
//   - Ordered, gapless, once: between the state frame and the end of a
//     subscription, its peer is sent every later revision in order and exactly once,
//     or is told how many it skipped, which happens only where it asked for that
//     (see Conflation). The state, the replay and the live frames are never mixed. A
//     second subscribe
//     to the same ShareData begins a new subscription. The removal of a ShareData
//     ends its subscriptions, also if one by the same id is created later.
//   - Resumable: a subscribe with a cursor inside the window is answered with the
//     state and exactly what followed the cursor: transactions, and wholesale
//     updates too if the subscribe has replayLifecycle or patches. Then the state says
//     how many replayed frames follow; otherwise the frames are not counted. Any
//     other cursor is answered with the state and the error
//     codes.ReplayCursorNotFound. If a replay breaks off, the peer is sent
//     the state again, then that error.
//   - Effect before result: a proposer who is subscribed is sent the transaction,
//     or a state that contains it, before the result. Proposals of one connection
//     on one ShareData are evaluated in the order sent.
//   - Isolated: no connection waits for another. A peer that does not read is
//     closed with 4001 when MaxBufferedBytes wait for it; a dead one is
//     disconnected within two heartbeats. A slow hook delays the requests of one
//     connection about one ShareData, a panic costs one message; package
//     sharedata isolates functions. The memory of a connection is bounded in
//     bytes.
//   - Let nobody in: without authentication there is no upgrade, and no frame
//     about a ShareData is sent to a caller whom AuthorizeSubscribe refused, and
//     none that says who proposed what to one whom AuthorizeActivity did not admit.
//     Details of failures stay in the log, unless a hook returns a Refusal.
//   - Let nobody stay: no frame is begun after the caller has expired, and none
//     with what was committed after Server.Revoke or Server.Reauthorize has
//     returned to a connection or a subscription that it ends, on whatever server
//     of the store.
//
// # Patches
//
// A subscriber that asks for patches is sent what changed in place of whole states,
// live and replayed: a JSON Patch (RFC 6902), the whole state where no patch is
// smaller, and nothing where the state is as it was. The text of the state after
// a patch is specified in package internal/jsonpatch to the byte, so the SHA-256 of
// the state shows whether a subscriber is in sync. It is in every state frame, of the
// state at the cursor there, and in the frames of each 32nd revision.
//
// Where such a subscriber resumes, the state frame is without the state (resumed):
// the replayed frames lead on from the state that the subscriber has at its cursor, so
// a reconnect costs what was missed. A subscriber that has the cursor and not the
// state asks for that too (includeState). It is also sent where entries in between
// were written by an earlier release, which did not record what they changed. A state
// that is sent is the one after the replayed frames, so their patches do not apply to it.
//
// Who does not ask for patches is sent the same frames as by releases that had none,
// byte for byte. These repeat the state also after a rejection, because clients
// in use read it in every live frame.
//
// # Conflation
//
// A subscriber that asks for conflation (conflate) rather misses changes than is late
// or disconnected. While more than one state (at least 64 KiB, at most half of
// MaxBufferedBytes) would wait for its connection, nothing is queued for this
// subscription. When what was queued has been written, one state follows at the
// position of that time, which says how many entries were left out (skipped), and
// the subscription is live again. Such a subscription never makes its connection fall
// behind; others on the same connection may. A replay is completed first, results of
// the peer's proposals on the ShareData come after the state that has their effect,
// and a removal is never left out.
//
// What the kernel buffers for a connection is old when a slow peer gets it. On Linux
// the kernel takes little more than it can send, once a connection conflates
// (TCP_NOTSENT_LOWAT); a proxy in front has buffers of its own.
//
// # Activity
//
// A subscriber that asks for activity is sent the time of each entry, the subject and
// issuer of its caller, what was proposed, and the code, reason and details of a
// rejection. That is more than the state shows, so Options.AuthorizeActivity has to
// admit the caller; without that hook nobody is.
//
// # Expiry, renewal and revocation
//
// A connection ends with 4002 at Caller.ExpiresAt and Options.ExpiryLeeway. What
// is queued for it is dropped, and so are its requests that wait; a proposal that
// the manager has been given is evaluated. Its client reconnects with a new
// token, or renews it before over the open connection: a ping with tokenExpiry is
// answered with the time that is left, and an authenticate frame brings the new
// token, for which Options.AuthenticateToken is asked. Old clients send neither.
//
// Server.Revoke ends the connections of a subject, an issuer or a token, and
// refuses what was issued before with 401 until Options.RevocationRetention has
// passed. It is recorded in the ShareData RevocationsID of the manager's store,
// so it survives restarts where the store does, has its caller in the history,
// and reaches every server on the store. Server.Reauthorize asks
// AuthorizeSubscribe again about live subscriptions.
//
// Servers that share a store read the revocations every half second while they
// have connections. One that has not been able to for a second holds what others
// commit, up to 4 MiB for each ShareData and then as a new state, and refuses
// proposals as unavailable, until the store can be read; subscribers go on from
// what they have, without a gap. A server that has never read the revocations
// answers new connections with 503. The reasoning is in revocationlease.go.
//
// ShareData whose ids begin with ReservedPrefix belong to the framework. Over the
// wire they are unknown.
//
// # Other protocols
//
// Clients that an application has already, which speak a protocol of their own, are
// served by Sessions: Server.Open opens one for a connection that the application has
// accepted, as a Peer. The application calls the methods of the Session for what the
// client asks, and its Protocol encodes what the client is to be sent: each commit once,
// for all sessions of the protocol. Server.ServeWebSocket and Server.ServeEventStream are
// all of it for a protocol over WebSocket or server-sent events: the server has the
// connection. Hooks, limits, catch-up, backpressure and the guarantees above are those of
// every connection.
//
// # Codes
//
// Every result that is not accepted, every error frame and every close frame has
// a code; package codes lists and explains them. A function's rejection has the
// function's own code (sharedata.RejectWith) or codes.Rejected, and is in the
// history. Of every other result but codes.OutcomeUnknown it is known that
// nothing happened. Results that may differ when the same proposal is made again
// later, codes.Busy, codes.Unavailable, codes.RateLimited and
// codes.ShuttingDown, say after which time.
//
// An unknown ShareData closes the connection with 4003 after the error frame,
// which interrupts its other subscriptions; a subscribe with keepConnection gets
// the error frame only.
//
// # Browsers, cookies and origins
//
// A browser sends the cookies of the server's host with a WebSocket handshake,
// whatever page opens it, and does not ask the server first as it does for other
// requests (CORS). Therefore only pages of the server's own host may connect,
// unless Options.OriginPatterns has others; this is what makes cookies safe to
// authenticate by. A browser cannot set other headers of the handshake.
//
// # Limits
//
// Bytes that wait for one connection are bounded by Options.MaxBufferedBytes,
// with one exception: a frame that is larger is sent when nothing else waits.
// States and replays are sent only as fast as the peer reads, so they do not
// make it fall behind; live frames and results can, but for those of subscriptions
// that conflate. Subscriptions, proposals in
// flight and the bytes of those, messages that wait and their size are bounded
// too, and so are messages per second, connections, and the time that handshakes,
// messages and idle connections may take. All limits are Options with defaults that
// hold on the open internet; docs/security.md has the table.
//
// Ids and cursors of clients have at most 1024 characters, and correlation ids; an
// idempotency key has 256. Texts that quote what a client sent are cut.
//
// A message over MessagesPerSecond is refused with retryAfterMs, and each of several
// with a later time than the one before, so that clients which wait for it are slowed
// down to the limit. A peer that sends more than twice as much is closed.
//
// What one peer can make the server hold, whatever it sends and however slowly, is
// two MaxMessageBytes for the message that is being read, eight for its proposals in
// flight (the manager has copies), three MaxBufferedBytes for what it does not read,
// and the goroutines of the requests that wait, at most 2*MaxSubscriptions and
// MaxProposalsInFlight: with the defaults 13 MiB and 192 goroutines. Connections
// before the handshake are bounded by the http.Server: Serve sets its time-outs and
// MaxHeaderBytes, which have no or large defaults. A read buffer grows as bytes
// arrive, whatever length a frame announces.
//
// A peer's address is that of the network connection, or the one that
// Options.TrustedProxies say.
//
// # Shutdown
//
// Stop in this order, so that proposals in flight get their results and clients
// are asked to reconnect. Serve does the first two steps when its context ends.
//
//	server.Shutdown(ctx)     // at Options.DrainPerSecond: results of what is in flight, then close frame 1001; new connections get 503
//	httpServer.Shutdown(ctx) // other requests; it does not wait for upgraded connections
//	manager.Close()
//	store.Close()            // of a store that the manager was given
//
// # Cost
//
// A connection with a subscription costs about 5 KiB while it is idle: no goroutine on
// Linux; elsewhere, and under TLS, which has buffers of its own, one. Frames are encoded once for all subscribers who want them in the same form
// (with patches or without, with activity or without), and those that wait together
// for one connection are written together.
package realtime
