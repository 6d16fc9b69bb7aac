package sharedata

// This file bounds the memory that loaded ShareData take. One that is idle and not
// observed can be evicted at any time, because it is in the store.

// loadedOverhead is about what a loaded ShareData takes besides its id and its
// state, in bytes.
const loadedOverhead = 1024

// account counts the ShareData's memory. It is called with handover held.
func (s *shareData) account(at *position) {
	size := int64(len(s.id) + len(at.state) + len(at.stored) + loadedOverhead)
	s.manager.loadedBytes.Add(size - s.size)
	s.size = size
}

// touch notes a use.
func (s *shareData) touch() { s.lastUse.Store(s.manager.clock.Load()) }

// onIdle is called when nothing waits for the ShareData any more. One that has no
// history is evicted, so that ids that do not exist cost no memory.
func (m *Manager) onIdle(s *shareData) {
	if at := s.current.Load(); at == nil || !at.exists {
		s.handover.Lock()
		m.mu.Lock()
		m.evictLocked(s)
		m.mu.Unlock()
		s.unlockHandover()
		return
	}
	if m.isOverLimit() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.evictSomeLocked()
	}
}

func (m *Manager) isOverLimit() bool {
	return m.options.MaxLoadedBytes > 0 && m.loadedBytes.Load() > int64(m.options.MaxLoadedBytes)
}

// The ShareData to evict is the one of a sample that was not used for longest. That is
// nearly as good as an order of all, which every use would have to keep. maxExamined
// bounds how many are examined without finding one that can be evicted.
const (
	sampleSize  = 8
	maxExamined = 32
)

// evictSomeLocked evicts ShareData until the rest is within the limit or no idle one
// is found. Go ranges over a map from a random place on.
func (m *Manager) evictSomeLocked() {
	for examined := 0; m.isOverLimit() && examined < maxExamined; {
		var oldest *shareData
		found := 0
		for _, s := range m.shareData {
			examined++
			if !s.observed.Load() {
				found++
				if oldest == nil || s.lastUse.Load() < oldest.lastUse.Load() {
					oldest = s
				}
			}
			if found == sampleSize || examined >= maxExamined {
				break
			}
		}
		if oldest == nil {
			return
		}
		if m.tryEvictLocked(oldest) {
			examined = 0
		}
	}
}

// tryEvictLocked evicts the ShareData unless it is in use.
func (m *Manager) tryEvictLocked(s *shareData) bool {
	if s.observed.Load() || !s.handover.TryLock() {
		return false
	}
	defer s.handover.Unlock()
	return m.evictLocked(s)
}

// evictLocked evicts the ShareData, whose handover is held, unless it is in use.
func (m *Manager) evictLocked(s *shareData) bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if s.queue.running || s.observed.Load() || s.evicted {
		return false
	}
	delete(m.shareData, s.id)
	m.loadedBytes.Add(-s.size)
	s.size, s.evicted = 0, true
	return true
}
