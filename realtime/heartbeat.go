package realtime

import "time"

// liveness decides whether a peer lives, from what passed between the beats of a
// heartbeat, each of which asks for a sign of life with a ping.
type liveness struct {
	begun          bool
	heard, written uint64
	// pressed says that bytes were on their way to the peer at the last beat,
	// which the ping has to wait for.
	pressed bool
}

// beat is given how many bytes have come from the peer and been taken for it
// until now, and whether some are on their way at the moment. It returns false
// if the peer has let a whole interval pass without a sign of life.
//
// That the network takes bytes is a sign of life only if they had been on
// their way before: as long as there is room in its buffers, it takes bytes
// for the dead.
func (p *liveness) beat(heard, written uint64, busy bool) bool {
	lives := !p.begun || heard != p.heard || p.pressed && written != p.written
	*p = liveness{begun: true, heard: heard, written: written, pressed: busy}
	return lives
}

// startHeartbeat lets the timer begin; it costs no goroutine between beats.
func (s *session) startHeartbeat() {
	interval := s.server.options.Heartbeat
	if interval == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.heartbeat = time.AfterFunc(interval, func() { s.server.during(s.beat) })
	}
}

func (s *session) beat() {
	heard, written, busy := s.socket.heard.Load(), s.socket.written.Load(), s.out.busy()
	s.mu.Lock()
	lives := s.closing || s.liveness.beat(heard, written, busy)
	if lives && !s.closing {
		s.heartbeat.Reset(s.server.options.Heartbeat)
	}
	s.mu.Unlock()
	if !lives {
		s.cut("the peer showed no sign of life")
		return
	}
	s.out.sendPing()
}
