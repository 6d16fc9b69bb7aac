package realtime

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// congestionControl sets the one of a listener, if it is available, and returns which it has.
func congestionControl(t *testing.T, listener net.Listener, set string) (got string) {
	t.Helper()
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if set != "" {
			_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, set)
		}
		got, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStopPacing(t *testing.T) {
	for address, local := range map[string]bool{"127.0.0.1:0": true, ":0": false} {
		for _, set := range []string{"bbr", "cubic", "reno"} {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			want := congestionControl(t, listener, set) // of the kernel's, where set is not available
			if want == "bbr" && local {
				want = "reno"
			}
			stopPacing(listener)
			if got := congestionControl(t, listener, ""); got != want {
				t.Errorf("%s with %s: %s, want %s", address, set, got, want)
			}
		}
	}
	stopPacing(&otherListener{}) // which has none
}

// otherListener is not of TCP.
type otherListener struct{ net.Listener }
