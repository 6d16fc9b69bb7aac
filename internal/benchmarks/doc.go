// Package benchmarks compares the stores through a manager: proposals, replays
// and memory, on replay.Memory, on a file and on a Redis server.
//
//	go test -run '^$' -bench . ./internal/benchmarks
//
// With -short, the benchmarks of memory use a tenth of the ShareData. Those of
// Redis are skipped where redis-server is missing.
package benchmarks
