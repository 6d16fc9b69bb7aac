package realtime

import (
	"net"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// Where nothing has arrived, there is no reader while the connection waits.
func TestReadArrived(t *testing.T) {
	s, far := webSocketOverTCP(t)
	read := func() (arrived bool) {
		if err := s.raw.Read(func(fd uintptr) bool { arrived = s.readArrived(fd); return true }); err != nil {
			t.Fatal(err)
		}
		return arrived
	}
	if read() || s.reader != nil {
		t.Error("nothing has arrived, and there is a reader")
	}
	if _, err := far.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := s.await(); err != nil || s.reader == nil || s.reader.buffered.Buffered() != 3 || s.received.Load() != 3 {
		t.Errorf("await: %v, %d bytes counted", err, s.received.Load())
	}
	far.Close()
	s.reader.buffered.Discard(3)
	if err := s.await(); err != nil || s.reader == nil || s.reader.failed == nil {
		t.Errorf("await: %v, and the library reads no end", err)
	}
}

// webSocketOverTCP returns the transport of a session and the peer's end.
func webSocketOverTCP(t *testing.T) (near *webSocket, far net.Conn) {
	t.Helper()
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	server, err := NewServer(manager, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, far := connected(t)
	s := newSession(server, Connection{}, &admitted{counts: server.admission})
	near = &webSocket{socket: newSocket(conn, nil, &server.poller), session: s}
	s.transport = near
	t.Cleanup(func() { server.Close() })
	return near, far
}

// connected returns the ends of a TCP connection.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	return near, far
}

// A connection that is closed while it begins to wait does not wait.
func TestPark_Closed(t *testing.T) {
	s, _ := webSocketOverTCP(t)
	server := s.session.server
	server.running.add()
	s.closed.Store(true) // Close has looked for it, and not found it waiting
	if !s.park(s.session) {
		t.Error("not parked")
	}
	server.poller.mu.Lock()
	waits := len(server.poller.waiting)
	server.poller.mu.Unlock()
	if waits != 0 {
		t.Error("it waits for ever")
		server.poller.unpark(s.socket)
	}
	s.Conn.Close() // upon which the session ends
}

// A connection that has got the descriptor of a closed one goes on waiting.
func TestPoller_DescriptorReused(t *testing.T) {
	var p poller
	closed, next := newSocket(nil, nil, &p), newSocket(nil, nil, &p)
	closed.polled = polled{session: &session{}, fd: 7}
	next.polled = polled{session: &session{}, fd: 7}
	p.waiting = map[int32]*socket{7: next}
	if p.takeLocked(closed) == nil || p.waiting[7] != next {
		t.Error("the other connection waits no more")
	}
}
