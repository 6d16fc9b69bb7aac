package sharedata

// This file bounds the memory that loaded ShareData take. One that is idle, and
// that nobody observes, can be unloaded at any time: it is in the store.

// loadedOverhead is about what a loaded ShareData takes besides its id and its
// state, in bytes.
const loadedOverhead = 1024

// weigh counts the ShareData's memory. It is called with handover held.
func (s *shareData) weigh(at *position) {
	size := int64(len(s.id) + len(at.state) + len(at.stored) + loadedOverhead)
	s.manager.loadedBytes.Add(size - s.size)
	s.size = size
}

// touch notes a use.
func (s *shareData) touch() { s.used.Store(s.manager.clock.Load()) }

// rest is called when the ShareData has become idle. One that has no history is
// dropped: asking for ids that do not exist must not cost memory.
func (m *Manager) rest(s *shareData) {
	if at := s.current.Load(); at == nil || !at.exists {
		s.handover.Lock()
		m.mu.Lock()
		m.unloadLocked(s)
		m.mu.Unlock()
		s.leave()
		return
	}
	if m.isCrowded() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.makeRoomLocked()
	}
}

func (m *Manager) isCrowded() bool {
	return m.options.MaxLoadedBytes > 0 && m.loadedBytes.Load() > int64(m.options.MaxLoadedBytes)
}

// How many ShareData are looked at to find the one of them that was not used
// for longest, and how often. That is nearly as good as an order of all of them,
// which every use would have to keep.
const (
	samples  = 8
	maxLooks = 32
)

// makeRoomLocked unloads ShareData until the rest is within the bound or no
// idle one is found. Go ranges over a map from a random place on.
func (m *Manager) makeRoomLocked() {
	for looks := 0; m.isCrowded() && looks < maxLooks; {
		var oldest *shareData
		found := 0
		for _, s := range m.shareData {
			looks++
			if !s.observed.Load() {
				found++
				if oldest == nil || s.used.Load() < oldest.used.Load() {
					oldest = s
				}
			}
			if found == samples || looks >= maxLooks {
				break
			}
		}
		if oldest == nil {
			return
		}
		if m.tryUnloadLocked(oldest) {
			looks = 0
		}
	}
}

// tryUnloadLocked unloads the ShareData unless somebody needs it.
func (m *Manager) tryUnloadLocked(s *shareData) bool {
	if s.observed.Load() || !s.handover.TryLock() {
		return false
	}
	defer s.handover.Unlock()
	return m.unloadLocked(s)
}

// unloadLocked unloads the ShareData, whose handover is held, unless somebody
// needs it.
func (m *Manager) unloadLocked(s *shareData) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.observed.Load() || s.unloaded {
		return false
	}
	delete(m.shareData, s.id)
	m.loadedBytes.Add(-s.size)
	s.size, s.unloaded = 0, true
	return true
}
