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
