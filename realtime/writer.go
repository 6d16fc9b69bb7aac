package realtime

import "net"

// This file is the writer of a session: a goroutine that moves frames from the
// outbox to the transport. It exists while the outbox is not empty.

// writeBuffer is what a writer needs while it writes.
type writeBuffer struct {
	frames []*frame
	// The rest is for the transport. bytes has a capacity of bufferBytes.
	bytes    []byte
	line     []byte
	parts    [][]byte
	gathered net.Buffers // here, because a local variable would be allocated
	atOnce   atOnce
	fromFile fromFile
}

// bufferBytes is the size of writeBuffer.bytes: small frames that wait together are
// copied there and written together, because a write costs the same for one byte and
// for some thousand.
const bufferBytes = 16 << 10

func newWriteBuffer() any { return &writeBuffer{bytes: make([]byte, 0, bufferBytes)} }

// startWriter implements outboxOwner.
func (s *session) startWriter(bulk bool) {
	s.helpers.Add(1)
	if bulk {
		s.server.goroutines.startBulk((*writer)(s))
	} else {
		s.server.goroutines.start((*writer)(s))
	}
}

// writer is a session as the task of its writer.
type writer session

// run implements task.
func (w *writer) run() { (*session)(w).write() }

func (s *session) write() {
	defer s.helpers.Done()
	defer s.server.recoverIn(s)
	buffer := s.server.buffers.Get().(*writeBuffer)
	defer s.server.buffers.Put(buffer)
	for {
		// The alarm may be late on a busy machine.
		s.closeIfExpired()
		c, more := s.out.next(buffer.frames[:0])
		if !more {
			return
		}
		if err := s.transport.write(&c, buffer); err != nil {
			s.failWriting(err)
		}
		clear(c.frames)
		buffer.frames = c.frames[:0]
	}
}

func (s *session) failWriting(err error) {
	s.out.close()
	s.cut("writing failed: " + err.Error())
}

// directWriter is a transport that can write without waiting.
type directWriter interface {
	// writeDirect writes a text as far as the network takes it without waiting. If it
	// has not taken all, the rest must be written by finish before anything else is.
	writeDirect(text []byte, buffer *writeBuffer) (finish func() error, err error)
}

// maxDirect is the longest text that the reader writes.
const maxDirect = 1 << 10

// sendFromReader sends a reply to what has just been read. Where nothing else waits, the
// reader writes it, which takes less time than to wake a writer.
func (s *session) sendFromReader(f *frame) {
	direct, ok := s.transport.(directWriter)
	if s.closeIfExpired(); !ok || f.size() > maxDirect || !s.out.claim() {
		s.out.send(f)
		return
	}
	buffer := s.server.buffers.Get().(*writeBuffer)
	finish, err := direct.writeDirect(f.text, buffer)
	s.server.buffers.Put(buffer)
	if finish == nil {
		s.endDirect(err)
		return
	}
	s.helpers.Add(1) // finish, which waits for them, runs after the reader
	go func() {
		defer s.helpers.Done()
		s.endDirect(finish())
	}()
}

func (s *session) endDirect(err error) {
	if err != nil {
		s.failWriting(err)
	}
	s.out.hand()
}

// bytesWritten implements outboxOwner.
func (s *session) bytesWritten() uint64 {
	_, written := s.transport.traffic()
	return written
}

// startFallingBehind implements outboxOwner. The fan-out may be the caller, so it does
// not block.
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
