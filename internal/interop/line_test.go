package interop_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// line is the network between a client and a server: a TCP proxy on the
// loopback. Its address stays when it is cut or leads to another server.
type line struct {
	t        *testing.T
	listener net.Listener
	running  sync.WaitGroup
	ended    chan struct{}

	mu     sync.Mutex
	up     chan struct{} // closed while there is a target
	target string        // host:port; empty: whoever connects waits
	flow   chan struct{} // closed while what the server sends is passed on
	conns  map[*net.TCPConn]struct{}
}

// newLine returns a line to a host:port.
func newLine(t *testing.T, target string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{
		t:        t,
		listener: listener,
		ended:    make(chan struct{}),
		up:       make(chan struct{}),
		flow:     make(chan struct{}),
		conns:    make(map[*net.TCPConn]struct{}),
	}
	close(l.flow)
	l.lead(target)
	l.running.Go(l.accept)
	t.Cleanup(func() {
		close(l.ended)
		listener.Close()
		l.cut()
		l.running.Wait()
	})
	return l
}

// url is the address of the endpoint at the other end.
func (l *line) url() string { return "ws://" + l.listener.Addr().String() + "/realtime" }

// hold makes new connections wait; those that are open live on.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target != "" {
		l.target, l.up = "", make(chan struct{})
	}
}

// cut ends every connection without a word, and makes new ones wait.
func (l *line) cut() {
	l.hold()
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}

// lead takes connections to a host:port from now on, also those that wait.
func (l *line) lead(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target == "" {
		close(l.up)
	}
	l.target = target
}

// stall leaves unread what the server sends, until resume is called.
func (l *line) stall() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	flow := make(chan struct{})
	l.flow = flow
	return func() { close(flow) }
}

func (l *line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.carry(conn.(*net.TCPConn)) })
	}
}

// carry passes on what one client and its server send, until both have ended.
func (l *line) carry(client *net.TCPConn) {
	l.enter(client)
	defer l.leave(client)
	target := l.waitForTarget()
	if target == "" {
		return
	}
	conn, err := net.Dial("tcp", target)
	if err != nil {
		l.t.Errorf("the line leads nowhere: %v", err)
		return
	}
	server := conn.(*net.TCPConn)
	server.SetReadBuffer(64 << 10) // so that a line that is stalled holds little
	l.enter(server)
	defer l.leave(server)

	var backward sync.WaitGroup
	backward.Go(func() { l.copy(client, server, l.waitForFlow) })
	l.copy(server, client, func() {})
	backward.Wait()
}

// copy passes on one direction and its end.
func (l *line) copy(to, from *net.TCPConn, wait func()) {
	buffer := make([]byte, 32<<10)
	for {
		wait()
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				from.CloseRead()
				break
			}
		}
		if err != nil {
			if err != io.EOF {
				to.Close()
			}
			break
		}
	}
	to.CloseWrite()
}

func (l *line) waitForTarget() string {
	for {
		l.mu.Lock()
		target, up := l.target, l.up
		l.mu.Unlock()
		if target != "" {
			return target
		}
		select {
		case <-up:
		case <-l.ended:
			return ""
		}
	}
}

func (l *line) waitForFlow() {
	l.mu.Lock()
	flow := l.flow
	l.mu.Unlock()
	select {
	case <-flow:
	case <-l.ended:
	}
}

func (l *line) enter(conn *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = struct{}{}
}

func (l *line) leave(conn *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}
