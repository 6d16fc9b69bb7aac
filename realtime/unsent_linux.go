package realtime

import "syscall"

// tcpNotSentLowAt is TCP_NOTSENT_LOWAT of tcp(7), Linux 3.12, which package syscall
// does not name.
const tcpNotSentLowAt = 25

// setMaxUnsent bounds how many bytes the kernel takes ahead of what it sends. Where the
// option cannot be set, the kernel's buffer stays large, and nothing else changes.
func setMaxUnsent(conn syscall.RawConn, bytes int) {
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, bytes)
	})
}
