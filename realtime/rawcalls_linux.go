//go:build !race

package realtime

import (
	"syscall"
	"unsafe"
)

// rawRead reads without telling the scheduler.
func rawRead(fd uintptr, p []byte) (n int, err syscall.Errno) {
	read, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(read), err
}

// rawWrite writes without telling the scheduler.
func rawWrite(fd uintptr, vectors []syscall.Iovec) (n int, err syscall.Errno) {
	written, _, err := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(vectors))), uintptr(len(vectors)))
	return int(written), err
}

// rawSendfile sends from a file without telling the scheduler. It returns 0 where it fails.
func rawSendfile(to uintptr, from int, offset *int64, size int) int {
	n, _, err := syscall.RawSyscall6(syscall.SYS_SENDFILE, to, uintptr(from), uintptr(unsafe.Pointer(offset)), uintptr(size), 0, 0)
	if err != 0 {
		return 0
	}
	return int(n)
}
