package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/safe-go/safe/replay"
)

// Bugs that can be planted, to show that they are found.
const (
	// plantAckEarly acknowledges an append before the store has it.
	plantAckEarly = "ack-before-append"
	// plantDeaf skips announcements of other processes' entries in silence.
	plantDeaf = "skip-announcement"
	// plantForget ignores idempotency keys, so a retry takes effect again.
	plantForget = "duplicate-on-retry"
	// plantDrop leaves out a frame now and then.
	plantDrop = "skip-frame"

	plantNames = plantAckEarly + ", " + plantDeaf + ", " + plantForget + " or " + plantDrop
)

// planted is the store and the WebSocket handler with a bug in one of them.
type planted struct {
	store replay.Store
	wrap  func(http.Handler) http.Handler
}

// plant plants the named bug; none if the name is empty.
func plant(name string, store replay.Store) (planted, error) {
	p := planted{store: store, wrap: func(h http.Handler) http.Handler { return h }}
	follower, shared := store.(replay.Follower)
	switch name {
	case "":
	case plantAckEarly:
		p.store = newHasty(store)
	case plantForget:
		p.store = forgetful{store}
		if shared {
			p.store = struct {
				forgetful
				replay.Follower
			}{forgetful{store}, follower}
		}
	case plantDeaf:
		if !shared {
			return p, fmt.Errorf("-plant %s: the store is not shared, so nothing is announced", name)
		}
		p.store = struct {
			replay.Store
			deaf
		}{store, deaf{follower}}
	case plantDrop:
		p.wrap = dropFrames
	default:
		return p, fmt.Errorf("-plant %q: use %s", name, plantNames)
	}
	return p, nil
}

// forgetful is a store that remembers no keys.
type forgetful struct{ replay.Store }

func (f forgetful) Append(ctx context.Context, id string, batch replay.Batch) error {
	batch.NewKeys = false
	return f.Store.Append(ctx, id, batch)
}

func (f forgetful) Find(context.Context, string, []string) ([]replay.Entry, error) { return nil, nil }

// deaf is a follower that misses nine of ten announcements, and never looks
// whether it has missed one.
type deaf struct{ replay.Follower }

func (d deaf) Follow(id string, tell func([]replay.Entry)) (stop func()) {
	heard := false
	return d.Follower.Follow(id, func(entries []replay.Entry) {
		if first := !heard; first || entries != nil && rand.IntN(10) == 0 {
			heard = true
			tell(entries)
		}
	})
}
