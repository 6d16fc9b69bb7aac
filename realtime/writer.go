package realtime

// This file is the writer of a session: a goroutine that moves frames from the
// outbox to the socket. It exists while something waits.

// bufferBytes is what a writer gathers before it writes: small frames that wait
// together are written together, because a write costs the same for one byte
// and for some thousand.
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

// startFallingBehind is called by the outbox when more waits than may. It is
// the fan-out that calls it, which must not wait for anything.
func (s *session) startFallingBehind(buffered int) {
	s.helpers.Add(1)
	go s.fallBehind(buffered)
}

// fallBehind takes the connection out of all channels. The outbox has dropped
// its queue; the frame under way may end, then the close frame goes out, so
// that a peer that pauses and reads on sees it.
func (s *session) fallBehind(buffered int) {
	defer s.helpers.Done()
	defer s.server.recoverIn(s)
	s.beginClosing()
	s.leave()
	s.server.log.Debug("connection fell behind", "connection", s.info.ID, "buffered", buffered)
	notify(s.server, s.server.options.Observer.OnOverflow, OverflowEvent{Connection: s.info, Buffered: buffered, Limit: s.out.limit})
}
