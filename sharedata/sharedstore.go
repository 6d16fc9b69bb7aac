package sharedata

// SharedStore reports whether other processes may append to the store (a
// replay.Follower). Where it is false, this manager's observers are notified of
// every commit there is, inside the commit.
func (m *Manager) SharedStore() bool { return m.follower != nil }
