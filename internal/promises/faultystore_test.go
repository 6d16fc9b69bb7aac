package promises

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/safe-go/safe/replay"
)

// faultyStore is a store that remembers what was appended, and that fails at
// random: before an append, or after it, so that its reply is lost.
type faultyStore struct {
	replay.Store

	mu       sync.Mutex
	random   *rand.Rand
	appended map[string]map[replay.Cursor]bool
	// failed counts the appends that were not stored, lost those that were stored
	// and whose replies were lost.
	failed, lost int
	reliable     bool // no faults
}

var errInjected = errors.New("injected fault")

func (u *faultyStore) Append(ctx context.Context, id string, batch replay.Batch) error {
	u.mu.Lock()
	outcome := u.random.IntN(12)
	if u.reliable {
		outcome = -1
	}
	if outcome == 0 {
		u.failed++
	}
	u.mu.Unlock()
	if outcome == 0 {
		return errInjected
	}
	for range max(outcome, 0) {
		runtime.Gosched() // a frame that is sent too early is received meanwhile
	}
	err := u.Store.Append(ctx, id, batch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		return err
	}
	if u.appended[id] == nil {
		u.appended[id] = make(map[replay.Cursor]bool)
	}
	for _, entry := range batch.Entries {
		u.appended[id][entry.Cursor] = true
	}
	if outcome == 1 {
		u.lost++
		return errInjected
	}
	return nil
}

// has reports whether the entry was appended.
func (u *faultyStore) has(id, cursor string) bool {
	c, err := replay.ParseCursor(cursor)
	u.mu.Lock()
	defer u.mu.Unlock()
	return err == nil && u.appended[id][c]
}

// hasAny reports whether the entry was appended to any ShareData.
func (u *faultyStore) hasAny(cursor string) bool {
	for _, id := range everyID {
		if u.has(id, cursor) {
			return true
		}
	}
	return false
}
