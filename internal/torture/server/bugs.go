package main

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/safe-go/safe/replay"
)

// Bugs that a server can have, to show that a run finds them.
const (
	bugAckBeforeAppend  = "ack-before-append"  // acknowledges an append before the store has it
	bugSkipNotification = "skip-notification"  // misses entries of other processes
	bugDuplicateOnRetry = "duplicate-on-retry" // ignores idempotency keys
	bugSkipFrame        = "skip-frame"         // leaves out frames on WebSockets
	bugSkipEvent        = "skip-event"         // leaves out events of event streams
	bugWrongPatch       = "wrong-patch"        // sends patches that do not lead to the state, on WebSockets
	bugWrongEvent       = "wrong-event"        // the same in event streams

	bugNames = bugAckBeforeAppend + ", " + bugSkipNotification + ", " + bugDuplicateOnRetry + ", " +
		bugSkipFrame + ", " + bugSkipEvent + ", " + bugWrongPatch + " or " + bugWrongEvent
)

// withBug returns the store and a wrapper for the handler of the realtime server, one of them
// with the named bug; no bug if the name is empty.
func withBug(name string, store replay.Store) (replay.Store, func(http.Handler) http.Handler, error) {
	wrap := func(h http.Handler) http.Handler { return h }
	follower, shared := store.(replay.Follower)
	switch name {
	case "":
	case bugAckBeforeAppend:
		store = newAckBeforeAppend(store)
	case bugDuplicateOnRetry:
		store = duplicateOnRetry{store}
	case bugSkipNotification:
		if !shared {
			return nil, nil, fmt.Errorf("-bug %s: the store is not shared", name)
		}
		store = struct {
			replay.Store
			skipNotification
		}{store, skipNotification{follower}}
	case bugSkipFrame:
		wrap = alterFrames(skipFrame)
	case bugSkipEvent:
		wrap = alterEvents(skipFrame)
	case bugWrongEvent:
		wrap = alterEvents(wrongPatch)
	case bugWrongPatch:
		wrap = alterFrames(wrongPatch)
	default:
		return nil, nil, fmt.Errorf("-bug %q: use %s", name, bugNames)
	}
	return store, wrap, nil
}

// duplicateOnRetry is a store that remembers no keys. It is not a Follower.
type duplicateOnRetry struct{ replay.Store }

func (d duplicateOnRetry) Append(ctx context.Context, id string, batch replay.Batch) error {
	batch.NewKeys = false
	return d.Store.Append(ctx, id, batch)
}

func (d duplicateOnRetry) Find(context.Context, string, []string) ([]replay.Entry, error) {
	return nil, nil
}

// skipNotification is a follower that misses nine of ten notifications, and never
// checks for missed ones.
type skipNotification struct{ replay.Follower }

func (s skipNotification) Follow(id string, notify func([]replay.Entry)) (stop func()) {
	first := true
	return s.Follower.Follow(id, func(entries []replay.Entry) {
		if first || entries != nil && rand.IntN(10) == 0 {
			first = false
			notify(entries)
		}
	})
}

// ackBeforeAppend is a store that acknowledges a batch at once and appends it a
// little later. Everything else waits for the appends before it.
type ackBeforeAppend struct {
	replay.Store
	queue chan func()
}

func newAckBeforeAppend(store replay.Store) ackBeforeAppend {
	a := ackBeforeAppend{store, make(chan func(), 4096)}
	go func() { // ends with the process
		for next := range a.queue {
			next()
		}
	}()
	return a
}

func (a ackBeforeAppend) Append(_ context.Context, id string, batch replay.Batch) error {
	due := time.Now().Add(100 * time.Millisecond)
	a.queue <- func() {
		time.Sleep(time.Until(due))
		_ = a.Store.Append(context.Background(), id, batch)
	}
	return nil
}

// drain waits until every batch is appended.
func (a ackBeforeAppend) drain() {
	drained := make(chan struct{})
	a.queue <- func() { close(drained) }
	<-drained
}

func (a ackBeforeAppend) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	a.drain()
	return a.Store.Load(ctx, id, have)
}

func (a ackBeforeAppend) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	a.drain()
	return a.Store.Read(ctx, id, after, limit)
}

func (a ackBeforeAppend) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	a.drain()
	return a.Store.Find(ctx, id, keys)
}

func (a ackBeforeAppend) IDs(ctx context.Context) iter.Seq2[string, error] {
	a.drain()
	return a.Store.IDs(ctx)
}
