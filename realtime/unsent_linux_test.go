package realtime

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
)

func TestSocket_BoundUnsent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"TCP": func(conn net.Conn) net.Conn { return conn },
		"TLS": func(conn net.Conn) net.Conn { return tls.Server(conn, &tls.Config{}) },
	} {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		newSocket(wrap(conn), nil, new(poller)).boundUnsent()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt) })
		if got != maxUnsent || err != nil {
			t.Errorf("%s: %d bytes, want %d; %v", name, got, maxUnsent, err)
		}
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	newSocket(near, nil, new(poller)).boundUnsent() // nothing to bound
}
