package promises

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/safe-go/safe/replay"
)

// unreliable is a store that remembers what it has taken, yields in between,
// and fails now and then: before it takes something, or after.
type unreliable struct {
	replay.Store

	mu     sync.Mutex
	random *rand.Rand
	taken  map[string]map[replay.Cursor]bool
	// failed counts the appends that were not taken, lost those whose sender
	// was not told that they were.
	failed, lost int
	calm         bool
}

var errUnreliable = errors.New("the medium failed, as it was meant to")

func (u *unreliable) Append(ctx context.Context, id string, batch replay.Batch) error {
	u.mu.Lock()
	fate := u.random.IntN(12)
	if u.calm {
		fate = -1
	}
	if fate == 0 {
		u.failed++
	}
	u.mu.Unlock()
	if fate == 0 {
		return errUnreliable
	}
	for range max(fate, 0) {
		runtime.Gosched() // whoever is too early gets his chance
	}
	err := u.Store.Append(ctx, id, batch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		return err
	}
	if u.taken[id] == nil {
		u.taken[id] = make(map[replay.Cursor]bool)
	}
	for _, entry := range batch.Entries {
		u.taken[id][entry.Cursor] = true
	}
	if fate == 1 {
		u.lost++
		return errUnreliable
	}
	return nil
}

// has reports whether the store has taken the entry.
func (u *unreliable) has(id, cursor string) bool {
	c, err := replay.ParseCursor(cursor)
	u.mu.Lock()
	defer u.mu.Unlock()
	return err == nil && u.taken[id][c]
}

// hasAny reports whether the store has taken the entry for any ShareData.
func (u *unreliable) hasAny(cursor string) bool {
	for _, id := range everyID {
		if u.has(id, cursor) {
			return true
		}
	}
	return false
}
