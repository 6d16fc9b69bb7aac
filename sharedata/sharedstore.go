package sharedata

import "time"

// SharedStore reports whether other processes may append to the store (a
// replay.Follower). Where it is false, this manager's observers are notified of
// every commit there is, inside the commit.
func (m *Manager) SharedStore() bool { return m.follower != nil }

// KnownSince returns when this process first saw the newest entry of the ShareData
// that it has in memory. The entry was committed before that. KnownSince reads
// nothing from the store. It returns the zero time for a ShareData that is not in
// memory.
func (m *Manager) KnownSince(id string) time.Time {
	s := m.loaded(id)
	if s == nil {
		return time.Time{}
	}
	at := s.current.Load()
	if at == nil || !at.exists {
		return time.Time{}
	}
	return at.since
}
