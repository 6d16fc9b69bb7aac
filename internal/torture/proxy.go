package torture

import (
	"net"
	"sync"
	"time"
)

// proxy stands between somebody and a server, and can make the network between
// them a bad one. All methods may be called from any number of goroutines.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup // the acceptor and whatever links need
	closed   chan struct{}

	mu     sync.Mutex
	target func() string
	delay  time.Duration
	// open is closed while what comes in may go out.
	open chan struct{}
	held bool
	over bool
	// accepted is how many connections there have been.
	accepted int
	// links are the connections there are.
	links map[*link]struct{}
}

// newProxy listens on a free port. target is asked where to connect to for each
// connection; an empty answer refuses it.
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

// addr is where to connect to.
func (p *proxy) addr() string { return p.listener.Addr().String() }

// point makes new connections go elsewhere.
func (p *proxy) point(target func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// slow delays everything by so much; 0 ends that.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// hold makes the proxy a black hole: nothing goes through and nothing is closed.
// New connections are accepted and lead nowhere.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		p.held, p.open = true, make(chan struct{})
	}
}

// release ends hold: everything goes on where it was.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		close(p.open)
	}
}

// cut resets all connections and returns how many there were.
func (p *proxy) cut() int {
	links := p.current()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// halfClose ends one direction of all connections, without a word in the other
// one, and returns how many there were.
func (p *proxy) halfClose(towardsServer bool) int {
	links := p.current()
	for _, l := range links {
		l.halfClose(towardsServer)
	}
	return len(links)
}

// close ends the proxy and waits for what it has started.
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

// connections is how many there have been.
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

// weather is what the network is like now.
func (p *proxy) weather() (open <-chan struct{}, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.delay
}

func (p *proxy) destination() string {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	return target()
}
