//go:build race

package realtime

// raceEnabled: under the race detector a sync.Pool drops what it holds, and
// slices.Grow allocates twice, so that allocations cannot be counted.
const raceEnabled = true
