// Package realtime serves the ShareData of a manager over WebSocket: a client
// subscribes to a ShareData and is sent its state, then what it missed, then
// every transaction in order; it proposes, and is told the verdict.
//
// A Server is an http.Handler:
//
//	server := realtime.NewServer(manager, nil)
//	http.Handle("/realtime", server)
//	...
//	server.Shutdown(ctx)
//
// The protocol is version 1 of the frames that package schemas describes. Who
// may do what is decided by the hooks in Options; what it costs is bounded by
// the limits there.
//
// It promises:
//
//   - Ordered, gapless, once: between the state frame and the end of a
//     subscription, its peer sees every later revision once and in order. The
//     state, what is replayed and what is live are never mixed. A second
//     subscribe to the same ShareData begins a new subscription; the end of a
//     ShareData ends it, also if one by the same name is created later.
//   - Resumable: a subscribe with a cursor inside the window is answered with
//     the state, which says how many replayed frames follow, and exactly those:
//     transactions, and wholesale updates too where the subscribe asked for them.
//     Any other cursor is answered with the state and the error
//     replay-cursor-not-found: never a guess, and never a part of a replay that
//     passes for the whole.
//   - Effect before result: a proposer who is subscribed is sent the
//     transaction, or a state that contains it, before the result. Proposals of
//     one connection on one ShareData are judged in the order sent.
//   - Isolated: nobody waits for anybody else's connection. A peer that does
//     not take what it is sent is closed with 4001 when MaxBufferedBytes wait
//     for it; one that is dead is cut within two heartbeats. A slow hook or
//     function holds up one ShareData on one connection, a panic costs one
//     message. What a connection holds in memory is bounded in bytes.
//   - Let nobody in: without authentication there is no upgrade, and no frame
//     about a ShareData for which AuthorizeSubscribe did not let the caller in.
//     Details of failures stay in the log.
//
// A subscriber is never silently short: it is current, or told that it is not,
// or closed.
//
// What waits for one connection is bounded by Options.MaxBufferedBytes, with
// one exception: a frame that is larger is sent when nothing else waits. States
// and replays are sent as fast as the peer takes them, so their number and
// length need no larger bound; live frames cannot wait like that.
//
// A connection costs one goroutine and about 12 KB while it is idle. Frames are
// encoded once for all subscribers, and those that wait together for one
// connection are written together.
package realtime
