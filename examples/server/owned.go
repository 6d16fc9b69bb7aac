package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// initial has the ShareData that the service creates by itself, by id: their
// kinds and their first states.
var initial = map[string]struct {
	kind  string
	state any
}{
	"counter": {"counter", counter{}},
	"doc":     {"doc", nil},
}

// owner creates the ShareData of initial: at the start, and again when they are
// used after the store has lost them. One that was removed through the manager
// stays removed until it is created or the process restarts.
type owner struct {
	manager *sharedata.Manager
	logger  *slog.Logger

	mu      sync.Mutex
	removed map[string]bool // guarded by mu
}

// newOwner returns an owner that observes which ShareData are removed. It is
// notified of removals by other processes where a client of this process is
// subscribed.
func newOwner(manager *sharedata.Manager, logger *slog.Logger) *owner {
	o := &owner{manager: manager, logger: logger, removed: make(map[string]bool)}
	manager.ObserveAll(o)
	return o
}

// Observe implements sharedata.Observer. A Reset is a loss, not a removal.
func (o *owner) Observe(events []sharedata.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range events {
		switch {
		case e.Reset:
		case e.Type == sharedata.EntryRemoved:
			o.removed[e.ShareDataID] = true
		case e.Type == sharedata.EntryCreated:
			delete(o.removed, e.ShareDataID)
		}
	}
}

// createAll creates what the store does not have yet. It waits for a store that
// cannot be reached.
func (o *owner) createAll(ctx context.Context) error {
	create := func() error {
		for id := range initial {
			switch err := o.create(ctx, id); {
			case errors.Is(err, replay.ErrUnavailable):
				return err
			case err != nil:
				return backoff.Permanent(err)
			}
		}
		return nil
	}
	forever := backoff.NewExponentialBackOff(backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	return backoff.RetryNotify(create, backoff.WithContext(forever, ctx), func(err error, _ time.Duration) {
		o.logger.Warn("waiting for the store", "error", err)
	})
}

// create creates one ShareData of initial unless it exists.
func (o *owner) create(ctx context.Context, id string) error {
	_, err := o.manager.EnsureKind(ctx, id, initial[id].kind, initial[id].state)
	return err
}

// ensure creates a ShareData of initial again if the store has lost it. The
// realtime server calls it before every subscribe and every proposal. Ids that
// the service does not own are left alone, and failures are for the subscribe or
// the proposal itself to report.
func (o *owner) ensure(ctx context.Context, id string) {
	if _, owned := initial[id]; !owned || o.isRemoved(id) {
		return
	}
	if _, err := o.manager.Get(ctx, id); !errors.Is(err, sharedata.ErrUnknownShareData) {
		return
	}
	if err := o.create(ctx, id); err != nil {
		o.logger.Warn("a ShareData of the service is missing and cannot be created", "shareData", id, "error", err)
		return
	}
	o.logger.Warn("a ShareData of the service was missing and has been created", "shareData", id)
}

func (o *owner) isRemoved(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.removed[id]
}

// afterwards creates what is missing after a request was authorized, so that only
// those create who may use it.
func (o *owner) afterwards(may auth.Authorizer) auth.Authorizer {
	return auth.AllOf(may, func(ctx context.Context, _ *sharedata.Caller, request auth.Request) error {
		o.ensure(ctx, request.ShareDataID)
		return nil
	})
}
