package interop_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy between a client and a server. Its address stays when it is cut
// and when its target changes.
type proxy struct {
	t        *testing.T
	listener net.Listener
	running  sync.WaitGroup
	ended    chan struct{}

	mu     sync.Mutex
	up     chan struct{} // closed while there is a target
	target string        // host:port; empty: new connections wait
	flow   chan struct{} // closed while data from the server is forwarded
	conns  map[*net.TCPConn]struct{}
}

// newProxy returns a proxy to a host:port.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		t:        t,
		listener: listener,
		ended:    make(chan struct{}),
		up:       make(chan struct{}),
		flow:     make(chan struct{}),
		conns:    make(map[*net.TCPConn]struct{}),
	}
	close(p.flow)
	p.setTarget(target)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		close(p.ended)
		listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

// url returns the URL of the server through the proxy.
func (p *proxy) url() string { return "ws://" + p.listener.Addr().String() + "/realtime" }

// block makes new connections wait; open ones stay open.
func (p *proxy) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target != "" {
		p.target, p.up = "", make(chan struct{})
	}
}

// cut closes every connection without a close frame, and makes new ones wait.
func (p *proxy) cut() {
	p.block()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}

// setTarget connects new connections, and those that wait, to a host:port.
func (p *proxy) setTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target == "" {
		close(p.up)
	}
	p.target = target
}

// stall stops reading from the server until resume is called.
func (p *proxy) stall() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	flow := make(chan struct{})
	p.flow = flow
	return func() { close(flow) }
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.forward(conn.(*net.TCPConn)) })
	}
}

// forward forwards one connection until both directions have ended.
func (p *proxy) forward(client *net.TCPConn) {
	p.addConn(client)
	defer p.removeConn(client)
	target := p.waitForTarget()
	if target == "" {
		return
	}
	conn, err := net.Dial("tcp", target)
	if err != nil {
		p.t.Errorf("the proxy cannot connect: %v", err)
		return
	}
	server := conn.(*net.TCPConn)
	server.SetReadBuffer(64 << 10) // a stalled proxy buffers little
	p.addConn(server)
	defer p.removeConn(server)

	var backward sync.WaitGroup
	backward.Go(func() { p.copy(client, server, p.waitForFlow) })
	p.copy(server, client, func() {})
	backward.Wait()
}

// copy forwards one direction and its end.
func (p *proxy) copy(to, from *net.TCPConn, wait func()) {
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

func (p *proxy) waitForTarget() string {
	for {
		p.mu.Lock()
		target, up := p.target, p.up
		p.mu.Unlock()
		if target != "" {
			return target
		}
		select {
		case <-up:
		case <-p.ended:
			return ""
		}
	}
}

func (p *proxy) waitForFlow() {
	p.mu.Lock()
	flow := p.flow
	p.mu.Unlock()
	select {
	case <-flow:
	case <-p.ended:
	}
}

func (p *proxy) addConn(conn *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = struct{}{}
}

func (p *proxy) removeConn(conn *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	conn.Close()
}
