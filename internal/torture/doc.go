// Package torture makes a service suffer and judges what its clients were told.
//
// Run starts real server processes on a store, drives random clients against
// them, injects faults, brings everything to rest, and has the recording judged
// by package checker: promises 1 to 6 and 8, and linearizability. What is done
// is chosen by a seed. The schedule of the faults and the choices of every
// client are the same for the same Options; what timing makes of them is not, so
// a seed that failed fails again often, and not always.
//
// Three kinds of clients are driven, through proxies that they can be moved
// to another server with:
//
//   - users of package client, who propose one thing after the other, some of it
//     twice and at two servers at once, and who come back with their cursors;
//   - raw connections, of which every frame is recorded, that send proposals in
//     bursts, subscribe with good and bad cursors, and break off;
//   - an administrator, who updates, removes and creates anew.
//
// The faults: servers are killed, ended gently and paused; connections between
// clients and servers, and between servers and Redis, are delayed, cut, closed
// on one side and black-holed; Redis is killed and restarted with its append-only
// file, paused, and flushed.
//
// Faults go on for a while after the clients have stopped: what a fault has
// hidden must come to light though nothing else happens. Of every 16 seconds, the
// connection to Redis is left alone for ten: only where a server can certainly
// read its store is it known that a cursor must be resumed.
//
// A short run is part of the tests, and shorter with -short. What needs Redis is
// skipped where the program redis-server is missing, unless SAFE_REQUIRE_REDIS
// is set. A long run on Redis, and one of many kills of a server on a file:
//
//	go test ./internal/torture -run TestTorture -v -timeout 2h \
//	    -torture.store redis -torture.processes 3 -torture.clients 30 -torture.duration 2m -torture.seeds 10
//	go test ./internal/torture -run TestKill -v -timeout 1h -torture.kills 200
//
// A failure prints the command that repeats it. -torture.faults takes a list of
// the only faults to inject, -torture.race builds the servers with the race
// detector, -torture.keep leaves the logs of the servers behind. -torture.plant
// plants a bug into the servers, which must then be found.
package torture
