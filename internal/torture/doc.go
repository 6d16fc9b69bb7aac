// Package torture runs a service under faults and evaluates what its clients saw.
//
// Run starts real server processes on a store, drives random clients against them,
// injects faults, waits until the system is idle, and has package checker evaluate
// the recording: promises 1 to 6 and 8, which include linearizability. A seed decides
// what happens: the schedule of the faults and the choices of each client are the
// same for the same Options. The timing is not, so a seed that failed fails again
// often, and not always.
//
// Clients reach the servers through proxies, so that they can be moved to another
// server. There are four kinds:
//
//   - Go clients, which propose one thing after the other, some twice and at two
//     servers at a time, and which are restarted with their cursors;
//   - raw clients, of which every frame is recorded, which send proposals in bursts,
//     subscribe with good and bad cursors, and cut their connections;
//   - stream clients, which subscribe by server-sent events, to one ShareData or to several
//     at once, resume by cursors or by the id of the last event, and propose by POST,
//     again under the same key where the outcome is not known;
//   - an administrator, which updates, removes and re-creates.
//
// Half of each kind subscribe with patches, with and without the state at their cursors,
// and a third with conflation. Half of the clients are Go clients, a quarter raw clients
// and a quarter stream clients; with -torture.streams, half are stream clients. Documents of several
// kilobytes, of which each proposal changes a little, are among the ShareData. With
// -torture.retention the stores keep only some entries besides those after the newest
// snapshot; every other run of several, and that of many kills, keeps 30.
//
// The faults: servers are killed, shut down gracefully and paused. Connections between
// clients and servers, and between servers and Redis, are delayed, reset, closed in one
// direction and blocked. Redis is killed and restarted with its append-only file,
// paused, and flushed.
//
// Faults go on for a while after the clients have stopped: subscribers must learn what
// a fault has hidden even if nothing else happens. Of every 16 seconds, the connection
// to Redis is left alone for ten: a cursor must be resumed only where a server can
// certainly read its store.
//
// A short run is part of the tests, a shorter one with -short. Runs on Redis are skipped
// where the program redis-server is missing, unless SAFE_REQUIRE_REDIS is set. A long
// run on Redis, and one of many kills of a server on a file:
//
//	go test ./internal/torture -run 'TestTorture$' -v -timeout 2h \
//	    -torture.store redis -torture.processes 3 -torture.clients 30 -torture.duration 2m -torture.seeds 10
//	go test ./internal/torture -run TestKill -v -timeout 1h -torture.kills 200
//
// A failure prints the command that repeats it. -torture.faults takes a list of the
// faults to inject, -torture.race builds the servers with the race detector, and
// -torture.keep keeps their logs. -torture.bug gives the servers a bug, which must then
// be found.
package torture
