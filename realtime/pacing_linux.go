package realtime

import (
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// stopPacing ends pacing for the connections that a listener on a loopback address accepts,
// such as those of a proxy on this machine. Where BBR is the system's congestion control, the
// kernel sets a timer for each write, to spare a network that is not there. Reno is always
// available (tcp(7)). Where it cannot be set, nothing changes.
func stopPacing(listener net.Listener) {
	tcp, ok := listener.(*net.TCPListener)
	if !ok || !tcp.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err == nil && strings.HasPrefix(name, "bbr") {
			_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
		}
	})
}
