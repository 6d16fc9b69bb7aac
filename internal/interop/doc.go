// Package interop tests that this project and the published JavaScript package of the
// protocol, @degenerate/realtime 0.7.1 on npm, work together: that package's client
// against this project's server, and this project's client against that package's
// server. It has no code but tests.
//
// The published package cannot be installed from the registry as it is, because
// packages that it depends on were never published. node/setup.sh unpacks its tarball
// and puts stand-ins for the missing packages beside it (node/standins). The code of
// the package itself is not changed:
//
//	internal/interop/node/setup.sh
//	go test ./internal/interop
//
// It runs in Node, in processes that the tests control by lines of JSON (node/host.js).
// The tests download nothing. Without Node, or before setup.sh has run, they are
// skipped; where the environment variable SAFE_REQUIRE_NODE is 1 they fail instead.
package interop
