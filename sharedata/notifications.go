package sharedata

import (
	"time"

	"github.com/safe-go/safe/replay"
)

// This file receives what the store announces of other processes' appends.

// notifications is what the store announced of a history and was not applied yet.
type notifications struct {
	entries []replay.Entry
	bytes   int
	// refresh says that the entries are not all: the position has to be read from
	// the store. overflowed says that there were too many entries to keep.
	refresh, overflowed bool
}

// The entries that may wait to be applied. Beyond that, the position is refreshed.
const (
	maxNotified      = 4096
	maxNotifiedBytes = 4 << 20
)

func (n *notifications) isEmpty() bool { return !n.refresh && len(n.entries) == 0 }

func (n *notifications) add(entries []replay.Entry) {
	if n.overflowed {
		return
	}
	for i := range entries {
		n.bytes += len(entries[i].Data)
	}
	switch {
	case len(entries) == 0:
		n.refresh = true
	case n.bytes > maxNotifiedBytes || len(n.entries)+len(entries) > maxNotified:
		*n = notifications{refresh: true, overflowed: true}
	default:
		n.entries = append(n.entries, entries...)
	}
}

// notify takes a notification of the store, which calls it; nil asks for a refresh.
// It never blocks.
func (s *shareData) notify(entries []replay.Entry) {
	if s.isApplied(entries) {
		return // as most of what this process has appended itself
	}
	m := s.manager
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed.Load() || m.shareData[s.id] != s {
		return
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.notifications.add(entries)
	s.startLocked()
}

// isApplied reports whether all the entries are up to the current position, and of
// the history that leads to it as far as that is remembered: a store that rolled
// back may announce other entries in their places.
func (s *shareData) isApplied(entries []replay.Entry) bool {
	at := s.current.Load()
	if len(entries) == 0 || at == nil {
		return false
	}
	last := &entries[len(entries)-1]
	if last.Cursor.Epoch != at.cursor.Epoch || last.Cursor.Revision > at.cursor.Revision {
		return last.Cursor.Epoch < at.cursor.Epoch
	}
	hash, known := s.recent.hashAt(last.Cursor)
	return !known || recordHas(last.Data, hash)
}

// applyNotifications applies what the store announced, and refreshes where that is
// not all.
func (s *shareData) applyNotifications(n notifications) {
	if n.isEmpty() || s.current.Load() == nil || s.manager.closed.Load() {
		return
	}
	// Entries say more than a refresh, which does not find those of a history that
	// has been removed by now.
	if s.applyNotified(n.entries) && !n.refresh {
		return
	}
	if !s.manager.acquireRefreshSlot(len(s.committer.requests) > 0 || s.queue.hasRequests()) {
		s.scheduleRefresh(false)
		return
	}
	defer func() { <-s.manager.refreshSlots }()
	switch {
	case s.manager.closed.Load():
	case s.refresh() != nil && s.isFollowed():
		s.scheduleRefresh(true)
	default:
		s.cancelRefresh()
	}
}

// applyNotified applies the entries, and reports whether nothing else has to be read
// from the store.
func (s *shareData) applyNotified(entries []replay.Entry) bool {
	if len(entries) == 0 || s.isApplied(entries) {
		return true
	}
	at := *s.current.Load()
	err := s.applyEntries(entries)
	return err == nil && s.current.Load().cursor != at.cursor
}

// maxRefreshing is how many ShareData refresh at once because the store notified
// them: after an outage, that may be all.
const maxRefreshing = 64

// refreshSlotTimeout is how long a ShareData without requests waits for a refresh slot.
const refreshSlotTimeout = 100 * time.Millisecond

// acquireRefreshSlot waits until few enough ShareData refresh at once, but not long,
// and not at all if requests are waiting already: the refresh can be done later.
func (m *Manager) acquireRefreshSlot(requestsWait bool) bool {
	select {
	case m.refreshSlots <- struct{}{}:
		return true
	default:
	}
	if requestsWait {
		return false
	}
	late := time.NewTimer(refreshSlotTimeout)
	defer late.Stop()
	select {
	case m.refreshSlots <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// A refresh that failed is repeated, first after the shorter delay and then after
// twice as long each time, up to the longer.
const (
	minRefreshDelay = time.Second
	maxRefreshDelay = 30 * time.Second
)

// scheduleRefresh has the position refreshed after a delay, which grows each time
// that a refresh failed.
func (s *shareData) scheduleRefresh(failed bool) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refreshTimer != nil {
		q.refreshTimer.Stop()
	}
	if failed {
		q.refreshDelay *= 2
	}
	q.refreshDelay = min(max(q.refreshDelay, minRefreshDelay), maxRefreshDelay)
	q.refreshTimer = time.AfterFunc(q.refreshDelay, func() { s.notify(nil) })
}

// cancelRefresh cancels what scheduleRefresh has scheduled.
func (s *shareData) cancelRefresh() {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refreshTimer != nil {
		q.refreshTimer.Stop()
	}
	q.refreshTimer, q.refreshDelay = nil, 0
}

// followIfObserved has the store notify this process as long as somebody observes
// the history. It is called with handover held.
func (s *shareData) followIfObserved() {
	observed := len(s.observers) > 0
	switch follower := s.manager.follower; {
	case follower == nil:
	case observed && s.unfollow == nil:
		s.recent.restart(s.current.Load().cursor)
		s.unfollow = follower.Follow(s.id, s.notify)
	case !observed && s.unfollow != nil:
		s.observed.Store(false) // first, as nothing is announced from now on
		s.unfollow()
		s.unfollow = nil
		s.recent.stop()
		s.cancelRefresh()
	}
	s.observed.Store(observed)
}
