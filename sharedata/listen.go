package sharedata

import (
	"time"

	"github.com/safe-go/safe/replay"
)

// This file hears what the store tells of other processes' appends.

// news is what the store has told of a history and nobody has looked at yet.
type news struct {
	entries []replay.Entry
	bytes   int
	// look says that the entries are not all: the store has to be asked; full,
	// that there were too many of them.
	look, full bool
}

// What may wait to be looked at. Beyond that, the store is asked.
const (
	maxNews      = 4096
	maxNewsBytes = 4 << 20
)

// maxLooking is how many ShareData look at the store at once.
const maxLooking = 64

func (n *news) isNothing() bool { return !n.look && len(n.entries) == 0 }

func (n *news) add(entries []replay.Entry) {
	if n.full {
		return
	}
	for i := range entries {
		n.bytes += len(entries[i].Data) + len(entries[i].State)
	}
	switch {
	case len(entries) == 0:
		n.look = true
	case n.bytes > maxNewsBytes || len(n.entries)+len(entries) > maxNews:
		*n = news{look: true, full: true}
	default:
		n.entries = append(n.entries, entries...)
	}
}

// hear takes what the store tells. It is called by the store and never blocks.
func (s *shareData) hear(entries []replay.Entry) {
	if s.hasSeen(entries) {
		return // as are all that this process has appended itself
	}
	m := s.manager
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed.Load() || m.shareData[s.id] != s {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news.add(entries)
	s.startLocked()
}

// hasSeen reports whether all the entries are up to the current position, and of
// the history that leads to it as far as that is remembered: a store that has
// gone back may tell of other entries in the places of those.
func (s *shareData) hasSeen(entries []replay.Entry) bool {
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

// heed applies what was told. busy says that changes wait meanwhile.
func (s *shareData) heed(told news, busy bool) {
	if told.isNothing() || s.current.Load() == nil || s.manager.closed.Load() {
		return
	}
	// Entries say more than a look: it does not find those of a history that
	// has been removed by now.
	if s.applies(told.entries) && !told.look {
		return
	}
	if !s.manager.mayLook(busy) {
		s.lookLater(false)
		return
	}
	defer func() { <-s.manager.looking }()
	switch {
	case s.manager.closed.Load():
	case s.follow() != nil && s.followed.Load():
		s.lookLater(true)
	default:
		s.lookNoMore()
	}
}

// lookPatience is how long an idle ShareData waits to be one of those that look.
const lookPatience = 100 * time.Millisecond

// mayLook waits until few enough look at the store at once, unless the caller
// has something else to do, and not for long: it can be done later.
func (m *Manager) mayLook(busy bool) bool {
	select {
	case m.looking <- struct{}{}:
		return true
	default:
	}
	if busy {
		return false
	}
	late := time.NewTimer(lookPatience)
	defer late.Stop()
	select {
	case m.looking <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// applies applies the entries, and reports whether that leaves no question.
func (s *shareData) applies(entries []replay.Entry) bool {
	if len(entries) == 0 || s.hasSeen(entries) {
		return true
	}
	at := *s.current.Load()
	err := s.extend(entries)
	return err == nil && s.current.Load().cursor != at.cursor
}

// A look at the store that fails is made up, at first after the shorter time and
// then after twice as long each time, up to the longer.
const (
	minLookDelay = time.Second
	maxLookDelay = 30 * time.Second
)

// lookLater has the store looked at again; later each time that it failed.
func (s *shareData) lookLater(failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later != nil {
		s.later.Stop()
	}
	if failed {
		s.delay *= 2
	}
	s.delay = min(max(s.delay, minLookDelay), maxLookDelay)
	s.later = time.AfterFunc(s.delay, func() { s.hear(nil) })
}

// lookNoMore calls off what lookLater has arranged.
func (s *shareData) lookNoMore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later != nil {
		s.later.Stop()
	}
	s.later, s.delay = nil, 0
}

// followOrNot has the store tell of the history as long as somebody observes
// it. It is called with handover held.
func (s *shareData) followOrNot() {
	s.observed.Store(len(s.observers) > 0)
	follower := s.manager.follower
	switch {
	case follower == nil:
	case len(s.observers) > 0 && s.unfollow == nil:
		s.recent.restart(s.current.Load().cursor)
		s.unfollow = follower.Follow(s.id, s.hear)
		s.followed.Store(true)
	case len(s.observers) == 0 && s.unfollow != nil:
		s.followed.Store(false)
		s.unfollow()
		s.unfollow = nil
		s.recent.stop()
		s.lookNoMore()
	}
}
