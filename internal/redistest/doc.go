// Package redistest starts real Redis servers for tests and fault drivers: on
// free loopback ports, with a directory of their own, to be killed, restarted,
// paused and flushed at will.
//
// Launch and LaunchCluster return processes whose methods return errors, for
// programs that run long. Start and StartCluster are the same for a test: what
// fails ends the test, everything stops with it, and where the program
// redis-server is missing the test is skipped, or fails if the environment
// variable SAFE_REQUIRE_REDIS is set.
//
// A process has one goroutine while its server runs and none afterwards. On
// Linux a server ends with the program that started it, however that ends.
package redistest
