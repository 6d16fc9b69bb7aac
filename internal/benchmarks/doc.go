// Package benchmarks compares the stores below a manager: proposals, replays and
// memory, on replay.Memory, on a file and on a Redis server. docs/benchmarks.md
// explains the figures.
//
//	go test -run '^$' -bench . ./internal/benchmarks
//
// With -short, BenchmarkStored uses a tenth of the ShareData. Benchmarks on Redis are
// skipped where redis-server is missing.
package benchmarks
