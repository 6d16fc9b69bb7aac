package realtime

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// writeAtOnce gives the parts to the network in one system call, and returns how many
// bytes it has taken without waiting. It takes none where that is not possible, as with
// TLS.
func (s *socket) writeAtOnce(parts [][]byte, buffer *writeBuffer) (int, error) {
	if s.rawConn() == nil {
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
	if err := s.raw.Write(w.call); err != nil {
		return 0, err
	}
	clear(w.vectors)
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
	call    func(fd uintptr) bool // write
	vectors []syscall.Iovec
	size    int // of all
	n       int
	err     error
}

func (w *atOnce) write(fd uintptr) bool {
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
	return true
}

func writeVectors(fd uintptr, vectors []syscall.Iovec) (n int, err syscall.Errno) {
	written, _, err := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(vectors))), uintptr(len(vectors)))
	return int(written), err
}

// rawConn returns the connection for system calls, or nil where that is not possible, as
// with TLS. The reader and the writer may call it at the same time.
func (s *socket) rawConn() syscall.RawConn {
	s.openRaw.Do(func() {
		if conn, ok := s.Conn.(*net.TCPConn); ok {
			s.raw, _ = conn.SyscallConn() // it fails where the connection has none
		}
	})
	return s.raw
}

// readConn is a Read of the connection which does not tell the scheduler of its system
// calls either.
func (s *socket) readConn(p []byte) (int, error) {
	raw := s.rawConn()
	if raw == nil {
		return s.Conn.Read(p)
	}
	r := &s.reading
	if r.call == nil {
		r.call = r.read
	}
	r.p = p[:min(len(p), maxQuiet)]
	err := raw.Read(r.call)
	n, failed := r.n, r.err
	*r = reading{call: r.call}
	switch {
	case err != nil:
		return 0, err
	case failed != 0:
		return 0, os.NewSyscallError("read", failed)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// reading is a call of readConn.
type reading struct {
	call func(fd uintptr) bool // read
	p    []byte
	n    int
	err  syscall.Errno
}

func (r *reading) read(fd uintptr) bool {
	for {
		n, err := rawRead(fd, r.p)
		switch err {
		case 0:
			r.n = n
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			r.err = err
			return true
		}
	}
}
