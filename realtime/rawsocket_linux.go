package realtime

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// writeAtOnce gives the parts to the network in one system call, and returns how many
// bytes it has taken without waiting. It takes none where that is not possible, as with
// TLS.
func (s *socket) writeAtOnce(parts [][]byte, buffer *writeBuffer) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	w := &buffer.atOnce
	if w.call == nil {
		w.call = w.write
	}
	w.vectors, w.size, w.n, w.err = w.vectors[:0], 0, 0, nil
	for _, p := range parts[:min(len(parts), maxVectors)] {
		vector := syscall.Iovec{Base: unsafe.SliceData(p)}
		vector.SetLen(len(p))
		w.vectors = append(w.vectors, vector)
		w.size += len(p)
	}
	err := s.raw.Control(w.call) // not Write, which would prepare to wait
	clear(w.vectors)
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// maxQuiet is how many bytes are written without telling the scheduler of it: that
// takes some microseconds, and from idleness much longer, because it wakes the monitor
// of the runtime. The call does not wait, and so few bytes take little time.
const maxQuiet = 16 << 10

// maxVectors is how many parts one system call may have (IOV_MAX).
const maxVectors = 1024

// atOnce is a call of writeAtOnce. All of it is kept for the next, because it would be
// allocated.
type atOnce struct {
	call    func(fd uintptr) // write
	vectors []syscall.Iovec
	size    int // of all
	n       int
	err     error
}

func (w *atOnce) write(fd uintptr) {
	write := writeVectors
	if w.size <= maxQuiet {
		write = rawWrite
	}
	n, err := write(fd, w.vectors)
	switch err {
	case 0:
		w.n = n
	case syscall.EAGAIN, syscall.EINTR: // the caller waits
	default:
		w.err = err
	}
}

func writeVectors(fd uintptr, vectors []syscall.Iovec) (n int, err syscall.Errno) {
	written, _, err := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(vectors))), uintptr(len(vectors)))
	return int(written), err
}

// rawConn returns the connection for system calls, or nil where that is not possible, as
// with TLS.
func rawConn(conn net.Conn) syscall.RawConn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		raw, _ := tcp.SyscallConn() // it fails where the connection has none
		return raw
	}
	return nil
}

// awaitRaw is await by system calls of which the scheduler is not told. While nothing
// arrives, the connection has no reader and no buffer. It returns false where it is not
// possible, and errReadOn where nothing arrives for a while.
func (t *webSocket) awaitRaw() (ok bool, err error) {
	if t.raw == nil {
		return false, nil
	}
	if t.arrive == nil {
		t.arrive = t.readArrived
	}
	for {
		if err := t.limitWait(); err != nil {
			return true, t.attachFailed(err)
		}
		switch err := t.raw.Read(t.arrive); {
		case err == nil:
			return true, t.failed
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return true, t.attachFailed(err)
		case t.received.Load() == t.receivedBefore:
			return true, errReadOn
		}
		t.waitUntil = time.Time{} // something has arrived since it was set
	}
}

// parkAfter is for how long a goroutine waits for the peer before the poller does: a little
// longer than it takes a client to send the next of several messages.
const parkAfter = 50 * time.Millisecond

// limitWait has reads end when nothing has arrived for some time. The deadline is set again
// only after it has expired.
func (t *webSocket) limitWait() error {
	if t.alwaysWaits {
		return t.setDeadline(time.Time{})
	}
	if t.waitUntil.IsZero() || t.waitUntil != t.set {
		t.waitUntil, t.receivedBefore = time.Now().Add(parkAfter), t.received.Load()
	}
	return t.setDeadline(t.waitUntil)
}

// readArrived reads what has arrived into a reader. It returns false if that is nothing.
func (t *webSocket) readArrived(fd uintptr) bool {
	if t.failed = t.attach(); t.failed != nil {
		return true
	}
	if !t.reader.fill(fd) {
		t.share()
		return false
	}
	return true
}

// filling says that the reader fills its buffer without waiting.
type filling struct {
	isFilling bool
	fd        uintptr
}

// fill reads what has arrived into the buffer, or the error that is for the library. It
// returns false if that is nothing.
func (m *messageReader) fill(fd uintptr) bool {
	m.filling = filling{true, fd}
	_, err := m.buffered.Peek(1)
	m.filling = filling{}
	if err == syscall.EAGAIN {
		return false
	}
	m.failed = err
	return true
}

// readNow is a Read that fails with EAGAIN where it would wait.
func (m *messageReader) readNow(p []byte) (int, error) {
	for {
		n, err := rawRead(m.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, err
		case err != 0:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			m.received.Add(uint64(n))
			return n, nil
		}
	}
}
