package realtime

import (
	"net"
	"syscall"
	"unsafe"
)

// writeAtOnce gives the parts to the network in one system call, and returns how many
// bytes it has taken without waiting. It takes none where that is not possible, as with
// TLS.
func (s *socket) writeAtOnce(parts [][]byte, buffer *writeBuffer) (int, error) {
	if s.raw == nil {
		conn, ok := s.Conn.(*net.TCPConn)
		if !ok {
			return 0, nil
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			return 0, err
		}
		s.raw = raw
	}
	w := &buffer.atOnce
	if w.call == nil {
		w.call = w.write
	}
	w.vectors, w.n, w.err = w.vectors[:0], 0, nil
	for _, p := range parts[:min(len(parts), maxVectors)] {
		vector := syscall.Iovec{Base: unsafe.SliceData(p)}
		vector.SetLen(len(p))
		w.vectors = append(w.vectors, vector)
	}
	if err := s.raw.Write(w.call); err != nil {
		return 0, err
	}
	clear(w.vectors)
	return w.n, w.err
}

// maxVectors is how many parts one system call may have (IOV_MAX).
const maxVectors = 1024

// atOnce is a call of writeAtOnce. All of it is kept for the next, because it would be
// allocated.
type atOnce struct {
	call    func(fd uintptr) bool // write
	vectors []syscall.Iovec
	n       int
	err     error
}

func (w *atOnce) write(fd uintptr) bool {
	n, _, err := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.vectors))), uintptr(len(w.vectors)))
	switch err {
	case 0:
		w.n = int(n)
	case syscall.EAGAIN, syscall.EINTR: // the caller waits
	default:
		w.err = err
	}
	return true
}
