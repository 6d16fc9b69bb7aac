package realtime

import "time"

// liveness decides whether a peer is alive, from the bytes exchanged between the
// beats of a heartbeat. Each beat sends a ping.
type liveness struct {
	begun             bool
	received, written uint64
	// writing says that bytes were being written to the peer at the last beat,
	// and the ping had to wait for them.
	writing bool
}

// beat is given how many bytes have been received from the peer and written to
// the network for it until now, and whether some are being written at the
// moment. It returns false if the peer is dead: it has let a whole interval pass
// without sending or reading anything.
//
// Bytes that the network accepts prove that the peer reads only if others had
// been waiting before: as long as there is room in its buffers, the network
// accepts bytes for a dead peer. Of a peer that does not answer pings, no more is known
// than that it is dead if bytes have waited for a whole interval and it took none.
func (l *liveness) beat(received, written uint64, writing, answersPings bool) bool {
	alive := !l.begun || received != l.received || l.writing && written != l.written
	if !answersPings {
		alive = alive || !l.writing || !writing
	}
	*l = liveness{begun: true, received: received, written: written, writing: writing}
	return alive
}

// startHeartbeat sets the alarm; there is no goroutine between beats.
func (s *session) startHeartbeat() {
	interval := s.server.options.Heartbeat
	if interval == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.server.alarms.set(&s.heartbeat, time.Now().Add(interval))
	}
}

func (s *session) beat() {
	received, written := s.transport.traffic()
	writing := s.out.busy()
	s.mu.Lock()
	alive := s.closing || s.liveness.beat(received, written, writing, s.transport.answersPings())
	if alive && !s.closing {
		s.server.alarms.set(&s.heartbeat, time.Now().Add(s.server.options.Heartbeat))
	}
	s.mu.Unlock()
	if !alive {
		// A connection with TLS may take some time to close.
		s.server.spawn(s, func() { s.cut("the peer answered no ping for a whole heartbeat") })
		return
	}
	s.out.sendPing()
}
