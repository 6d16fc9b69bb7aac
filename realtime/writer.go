package realtime

// This file is the writer of a session: a goroutine that moves frames from the
// outbox to the socket. It exists while the outbox is not empty.

// bufferBytes is the size of a writer's buffer: small frames that wait together
// are written together, because a write costs the same for one byte and for some
// thousand.
const bufferBytes = 16 << 10

// startWriter is called by the outbox.
func (s *session) startWriter() {
	s.helpers.Add(1)
	go s.write()
}

func (s *session) write() {
	defer s.helpers.Done()
	defer s.server.recoverIn(s)
	buffer := s.server.buffers.Get().(*[]byte)
	defer s.server.buffers.Put(buffer)
	for {
		// The timer of expiries may be late on a busy machine.
		s.closeIfExpired()
		c, more := s.out.next((*buffer)[:0])
		if !more {
			return
		}
		if err := s.socket.writeFrames(c.head, c.tail, c.last); err != nil {
			s.out.close()
			s.cut("writing failed: " + err.Error())
		}
	}
}

// startFallingBehind is called by the outbox when more bytes wait than may. The
// fan-out may be the caller, so it does not block.
func (s *session) startFallingBehind(buffered int) {
	s.helpers.Add(1)
	go s.fallBehind(buffered)
}

// fallBehind ends all subscriptions. The outbox has dropped its queue; the frame
// that is being written is completed, then the close frame is, so that a peer
// that pauses and reads on sees it.
func (s *session) fallBehind(buffered int) {
	defer s.helpers.Done()
	defer s.server.recoverIn(s)
	s.beginClosing()
	s.endSubscriptions()
	s.server.log.Debug("connection fell behind", "connection", s.name, "buffered", buffered)
	notify(s.server, s.server.options.Observer.OnOverflow, OverflowEvent{Connection: s.connection(), Buffered: buffered, Limit: s.out.limit})
}
