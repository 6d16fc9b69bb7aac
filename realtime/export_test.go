package realtime

// Channels returns the number of ShareData that the server observes.
func (s *Server) Channels() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.channels)
}
