package torture

import (
	"net"
	"sync"
	"time"
)

// proxy forwards TCP connections to a server, and injects faults of the network. All
// methods may be called from any number of goroutines.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup // the acceptor and the links
	closed   chan struct{}

	mu     sync.Mutex
	target func() string
	delay  time.Duration
	// open is closed while data is forwarded.
	open    chan struct{}
	blocked bool
	over    bool
	// readBuffer is that of connections to the server; 0: that of the system.
	readBuffer int
	// accepted is the number of connections so far.
	accepted int
	// links are the current connections.
	links map[*link]struct{}
}

// newProxy listens on a free port. target returns the address to connect to; an empty
// one refuses the connection.
func newProxy(target func() string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		listener: listener, closed: make(chan struct{}), target: target,
		open: make(chan struct{}), links: make(map[*link]struct{}),
	}
	close(p.open)
	p.running.Go(p.accept)
	return p, nil
}

// addr returns the address that the proxy listens on.
func (p *proxy) addr() string { return p.listener.Addr().String() }

// setTarget sets the target of new connections.
func (p *proxy) setTarget(target func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// setDelay delays all data; 0 ends the delay.
func (p *proxy) setDelay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// setReadBuffer bounds what new connections receive from the server ahead of a slow
// client, in bytes.
func (p *proxy) setReadBuffer(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readBuffer = bytes
}

// block stops forwarding without closing connections. New connections are accepted
// and not forwarded either.
func (p *proxy) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.blocked {
		p.blocked, p.open = true, make(chan struct{})
	}
}

// unblock forwards what was sent since block.
func (p *proxy) unblock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blocked {
		p.blocked = false
		close(p.open)
	}
}

// cut resets all connections and returns their number.
func (p *proxy) cut() int {
	links := p.current()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// halfClose closes one direction of all connections and returns their number.
func (p *proxy) halfClose(towardsServer bool) int {
	links := p.current()
	for _, l := range links {
		l.halfClose(towardsServer)
	}
	return len(links)
}

// close closes the proxy and waits for its goroutines.
func (p *proxy) close() {
	p.mu.Lock()
	first := !p.over
	p.over = true
	p.mu.Unlock()
	if first {
		close(p.closed)
		p.listener.Close()
	}
	p.cut()
	p.running.Wait()
}

// connections returns the number of connections so far.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *proxy) current() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		l := &link{proxy: p, client: conn.(*net.TCPConn), ended: make(chan struct{})}
		p.mu.Lock()
		if p.over {
			p.mu.Unlock()
			conn.Close()
			return
		}
		p.links[l] = struct{}{}
		p.accepted++
		p.running.Go(l.run)
		p.mu.Unlock()
	}
}

func (p *proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// conditions returns the current faults.
func (p *proxy) conditions() (open <-chan struct{}, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.delay
}

func (p *proxy) destination() (address string, readBuffer int) {
	p.mu.Lock()
	target, readBuffer := p.target, p.readBuffer
	p.mu.Unlock()
	return target(), readBuffer
}
