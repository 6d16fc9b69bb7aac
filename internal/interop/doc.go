// Package interop holds the proof that this project and the published
// JavaScript package of the protocol, @degenerate/realtime 0.7.1 on npm, work
// together: that package's client against this project's server, and this
// project's client against that package's server. It has no code but tests.
//
// The published package runs unchanged, in Node, in processes that the tests
// drive by lines of JSON. The folder node has the scripts for that, and
// setup.sh, which downloads the package and what it depends on:
//
//	internal/interop/node/setup.sh
//	go test ./internal/interop
//
// The tests themselves download nothing. Without Node, or before setup.sh has
// run, they are skipped; with SAFE_REQUIRE_NODE=1 in the environment they fail
// instead.
package interop
