//go:build race

package realtime

import (
	"errors"
	"syscall"
)

// With the race detector, these calls are those of package syscall, which tell it that what
// is read happened after it was written, as programs rely on.

func rawRead(fd uintptr, p []byte) (n int, err syscall.Errno) {
	n, failed := syscall.Read(int(fd), p)
	if failed != nil {
		errors.As(failed, &err)
		return 0, err
	}
	return n, 0
}

func rawWrite(fd uintptr, vectors []syscall.Iovec) (n int, err syscall.Errno) {
	_, _ = syscall.Write(int(fd), nil)
	return writeVectors(fd, vectors)
}

func rawSendfile(to uintptr, from int, offset *int64, size int) int {
	n, _ := syscall.Sendfile(int(to), from, offset, size)
	return max(n, 0)
}
