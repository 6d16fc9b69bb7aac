package realtime

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// Opcodes of WebSocket frames (RFC 6455 section 5.2), as the first byte of an
// unfragmented one.
const (
	finalText   = 0x80 | 0x1
	finalBinary = 0x80 | 0x2
	finalClose  = 0x80 | 0x8
	finalPing   = 0x80 | 0x9
	finalPong   = 0x80 | 0xA
)

// compressedBit says that the payload of a message is compressed (RFC 7692, section 6).
const compressedBit = 0x40

// maxHeader is the longest header of a frame that a server sends. Its frames
// are not masked (RFC 6455 section 5.1), so their bytes are the same for every
// peer.
const maxHeader = 10

// appendHeader appends the header of a frame with a payload of n bytes.
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// appendClose appends a close frame. A reason longer than fits is cut.
func appendClose(dst []byte, code int, reason string) []byte {
	reason = reason[:min(len(reason), 123)]
	dst = appendHeader(dst, finalClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

var errCloseSent = errors.New("a close frame has been sent")

// socket is the network connection under one WebSocket connection. The
// WebSocket library reads from it and writes control frames of its own, namely
// the echo of a close and the close after a protocol error; everything else is
// written by write. Each side writes whole frames, one at a time, and
// nothing after a close frame (RFC 6455 section 5.5.1).
type socket struct {
	// The writer needs these for every write, so they stand together.

	// raw is the connection for system calls, or nil where they are not used, as with TLS.
	raw syscall.RawConn
	// writing is held while bytes are being written.
	writing gate
	written atomic.Uint64 // bytes that the network accepted
	// compressFrom is the size of the smallest text that is compressed; 0 for none.
	compressFrom int
	// message is the first byte of a message: finalText, or finalBinary.
	message byte
	// closeSent is the payload of the close frame that was sent first; nil if
	// none was. It is empty for one of write. Guarded by writing.
	closeSent []byte
	net.Conn

	early    []byte        // what net/http had read beyond the handshake
	received atomic.Uint64 // bytes from the peer

	// deadline is for Read. The network has it as set, from when it is needed on: most
	// messages are in the library's buffer as a whole. Both are for the reader.
	deadline, set time.Time

	closed atomic.Bool

	// poller is the server's.
	poller *poller
	polled polled
}

func newSocket(conn net.Conn, early []byte, poller *poller) *socket {
	return &socket{Conn: conn, raw: rawConn(conn), early: early, poller: poller, message: finalText}
}

// Read reads from the network, within the deadline of setReadDeadline.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	}
	if err := s.setDeadline(s.deadline); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	s.received.Add(uint64(n))
	return n, err
}

// setReadDeadline sets the time at which reads fail with os.ErrDeadlineExceeded; the
// zero time is never.
func (s *socket) setReadDeadline(at time.Time) { s.deadline = at }

// setDeadline sets the deadline of the network.
func (s *socket) setDeadline(at time.Time) error {
	if at == s.set {
		return nil
	}
	s.set = at
	return s.Conn.SetReadDeadline(at)
}

// Write is called by the WebSocket library with one control frame.
func (s *socket) Write(p []byte) (int, error) {
	s.writing.lock()
	defer s.writing.unlock()
	if s.closeSent != nil {
		return len(p), nil // the echo of the peer's close frame, which answers ours
	}
	s.recordClose(p)
	return s.Conn.Write(p)
}

// write writes a chunk: small frames are copied together, large ones are written from
// where they are.
func (s *socket) write(c *chunk, buffer *writeBuffer) error {
	s.writing.lock()
	defer s.writing.unlock()
	if s.closeSent != nil {
		return errCloseSent
	}
	if c.last {
		s.closeSent = []byte{}
	}
	w := newSegments(s, buffer)
	if c.pong == nil && !c.ping {
		w.skip = s.sendFromFile(c.frames, buffer)
	}
	if c.pong != nil {
		w.copy(appendHeader(w.header[:0], finalPong, len(c.pong)))
		w.copy(c.pong)
	}
	if c.ping {
		w.copy(appendHeader(w.header[:0], finalPing, 0))
	}
	for _, f := range c.frames {
		first, payload := s.message, f.text
		if s.compressFrom > 0 && len(payload) >= s.compressFrom {
			if d := f.deflated(); d != nil {
				first, payload = s.message|compressedBit, d
			}
		}
		w.copy(appendHeader(w.header[:0], first, len(payload)))
		w.add(payload)
	}
	if c.last {
		w.copy(appendClose(nil, c.code, c.reason))
	}
	err := w.flush()
	buffer.parts = w.parts[:0]
	return err
}

// writeDirect implements directWriter.
func (s *socket) writeDirect(text []byte, buffer *writeBuffer) (finish func() error, err error) {
	s.writing.lock()
	if s.closeSent != nil {
		s.writing.unlock()
		return nil, errCloseSent
	}
	message := append(appendHeader(buffer.bytes[:0], finalText, len(text)), text...)
	buffer.parts = append(buffer.parts[:0], message)
	n, err := s.writeAtOnce(buffer.parts, buffer)
	buffer.parts[0] = nil
	s.written.Add(uint64(n))
	if n == len(message) || err != nil {
		s.writing.unlock()
		return nil, err
	}
	rest := bytes.Clone(message[n:])
	return func() error {
		defer s.writing.unlock()
		n, err := s.Conn.Write(rest)
		s.written.Add(uint64(n))
		return err
	}, nil
}

// recordClose keeps the close frame that the library sends. writing is held.
func (s *socket) recordClose(p []byte) {
	if len(p) >= 2 && p[0] == finalClose {
		s.closeSent = bytes.Clone(p[2:])
	}
}

// sentClose returns the code and the reason of the close frame that the library
// has sent, or 0 if it sent none.
func (s *socket) sentClose() (code int, reason string) {
	s.writing.lock()
	defer s.writing.unlock()
	if len(s.closeSent) < 2 {
		return 0, ""
	}
	return int(binary.BigEndian.Uint16(s.closeSent)), string(s.closeSent[2:])
}

// maxUnsent is how many bytes the kernel may keep unsent for a connection that
// conflates. Otherwise that grows to megabytes, and what a peer on a slow line is
// sent would be outdated by the seconds that those take.
const maxUnsent = 32 << 10

// boundUnsent has the kernel take little more than it can send, where it is known
// how (TCP on Linux, also under TLS). It may be called several times.
func (s *socket) boundUnsent() {
	conn := s.Conn
	for {
		switch inner := conn.(type) {
		case interface{ NetConn() net.Conn }: // a tls.Conn
			conn = inner.NetConn()
			continue
		case *net.TCPConn:
			if raw, err := inner.SyscallConn(); err == nil {
				setMaxUnsent(raw, maxUnsent)
			}
		}
		return
	}
}

// Close ends the connection at once and unblocks reads and writes.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.poller.unpark(s)
	return s.Conn.Close()
}

// park implements parker.
func (s *socket) park(of *session) bool { return s.poller.park(of, s) }

// hijacker is an http.ResponseWriter whose connection becomes a socket.
type hijacker struct {
	http.ResponseWriter
	deadline time.Time // for writing the response; zero: none
	poller   *poller
	socket   *socket
	status   int // of the response, where the library refuses to upgrade
}

// WriteHeader implements http.ResponseWriter.
func (h *hijacker) WriteHeader(status int) {
	h.status = status
	h.ResponseWriter.WriteHeader(status)
}

// Hijack takes the connection over from net/http.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	controller := http.NewResponseController(h.ResponseWriter)
	// Hijack writes the response, and ends the deadline. Where no deadline can be
	// set, that of the http.Server holds.
	_ = controller.SetWriteDeadline(h.deadline)
	conn, buffered, err := controller.Hijack()
	if err != nil {
		return nil, nil, err
	}
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := buffered.Reader.Read(early); len(early) > 0 && err != nil {
		conn.Close()
		return nil, nil, err
	}
	h.socket = newSocket(conn, early, h.poller)
	const unused = 1 // a messageReader reads
	return h.socket, bufio.NewReadWriter(bufio.NewReaderSize(h.socket, unused), bufio.NewWriterSize(h.socket, unused)), nil
}

// WriteHeaderNow is for middleware that delays the header; the WebSocket
// library calls it before it takes the connection over.
func (h *hijacker) WriteHeaderNow() {
	if w, ok := h.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		w.WriteHeaderNow()
	}
}

// canHijack reports whether the connection behind w, or behind what w wraps,
// can be taken over.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch inner := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return false
		}
	}
}
