// Package sharedstore is a store for tests that several processes share: all in
// memory, without sockets and timers, and with the faults that a real one may
// have. A Medium is what they share; a Process is the replay.Store and
// replay.Follower of one of them.
package sharedstore
