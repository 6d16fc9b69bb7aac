package realtime

import "testing"

// RenewInterval is the least time between two renewals.
const RenewInterval = renewInterval

// RaceEnabled is raceEnabled.
const RaceEnabled = raceEnabled

// Channels returns the number of ShareData that the server observes.
func (s *Server) Channels() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.channels)
}

// Counted returns what the server counts connections by: how many there are, and
// of how many addresses and subjects.
func (s *Server) Counted() (total, addresses, subjects int) {
	s.admission.mu.Lock()
	defer s.admission.mu.Unlock()
	return s.admission.total, len(s.admission.addresses), len(s.admission.subjects)
}

// DefaultOptions returns the effective options where none are given.
func DefaultOptions(t *testing.T) Options {
	t.Helper()
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// ReadersInUse returns how many WebSocket connections have a messageReader. None may be
// read from meanwhile.
func (s *Server) ReadersInUse() (n int) {
	for _, session := range s.openSessions() {
		if session.transport.(*webSocket).reader != nil {
			n++
		}
	}
	return n
}

// StopExpiryTimer makes the timer late, as a wall clock that is set forward does.
func (s *Server) StopExpiryTimer() {
	s.expiries.mu.Lock()
	defer s.expiries.mu.Unlock()
	s.expiries.timer.Stop()
}

// Waiting returns the number of bytes that wait for the connections in the process.
func (s *Server) Waiting() (bytes int) {
	for _, session := range s.openSessions() {
		session.out.mu.Lock()
		bytes += session.out.waitingLocked()
		session.out.mu.Unlock()
	}
	return bytes
}
