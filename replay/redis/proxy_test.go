package redis

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/internal/redistest"
)

// proxy injects faults into the connections between a client and a server.
type proxy struct {
	listener net.Listener
	wait     sync.WaitGroup

	// mu guards all below.
	mu     sync.Mutex
	target string
	closed bool
	hole   bool // swallows everything
	cuts   int  // replies still to be lost
	marker []byte
	held   *heldReply // the next reply to be lost, if the test waits for it
	links  map[*link]struct{}
}

// link is a connection through a proxy.
type link struct {
	near, far net.Conn
	cut       bool // instead of the reply
	abandoned bool // everything vanishes
}

// heldReply is a reply that is lost when the test says so.
type heldReply struct{ came, lose chan struct{} }

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, links: make(map[*link]struct{})}
	p.wait.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.breakAll()
	p.wait.Wait()
}

// client returns a client that goes through the proxy.
func (p *proxy) client(t testing.TB, change func(*goredis.Options)) *goredis.Client {
	options := redistest.ClientOptions(p.listener.Addr().String())
	if change != nil {
		change(options)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
			t.Errorf("close the client: %v", err)
		}
	})
	return client
}

// patientClient returns a client that waits for a reply until the proxy loses it.
func (p *proxy) patientClient(t testing.TB) *goredis.Client {
	return p.client(t, func(o *goredis.Options) { o.ReadTimeout = patience })
}

// database returns a client of one of the server's databases.
func (p *proxy) database(t testing.TB, number int) *goredis.Client {
	return p.client(t, func(o *goredis.Options) { o.DB = number })
}

// loseReplies cuts the connection instead of passing the reply on, for the next n
// requests with the marker.
func (p *proxy) loseReplies(n int, marker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts, p.marker, p.held = n, []byte(marker), nil
}

// loseReplyAfter does something between the reply to the next request with the marker,
// which request sends, and the loss of that reply. It returns the result of request.
func (p *proxy) loseReplyAfter(t testing.TB, marker string, do func(), request func() error) error {
	t.Helper()
	held := &heldReply{came: make(chan struct{}), lose: make(chan struct{})}
	p.loseReplies(1, marker)
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	result := make(chan error, 1)
	go func() { result <- request() }()
	lose := sync.OnceFunc(func() { close(held.lose) })
	defer lose()
	select {
	case <-held.came:
	case err := <-result:
		t.Fatalf("no reply was lost; the result is %v", err)
	}
	do()
	lose()
	return <-result
}

// left is how many replies are still to be lost.
func (p *proxy) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// swallow has everything vanish, on all connections and in both directions,
// while nothing is closed.
func (p *proxy) swallow(everything bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = everything
}

// abandon has everything vanish on the existing connections only.
func (p *proxy) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.abandoned = true
	}
}

// retarget has new connections go to another server.
func (p *proxy) retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// breakAll closes all connections.
func (p *proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.near.Close()
		_ = l.far.Close()
	}
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l := &link{near: near, far: far}
		p.mu.Lock()
		p.links[l] = struct{}{}
		if p.closed {
			_ = near.Close()
			_ = far.Close()
		}
		p.mu.Unlock()
		p.wait.Go(func() { p.pass(l, near, far, true) })
		p.wait.Go(func() { p.pass(l, far, near, false) })
	}
}

// pass copies from one side to the other until one of them closes.
func (p *proxy) pass(l *link, from, to net.Conn, request bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !p.passOn(l, to, buffer[:n], request) {
			break
		}
	}
	_ = from.Close()
	_ = to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *proxy) passOn(l *link, to net.Conn, data []byte, request bool) bool {
	p.mu.Lock()
	hole := p.hole || l.abandoned
	if request && p.cuts > 0 && !l.cut && bytes.Contains(data, p.marker) {
		p.cuts--
		l.cut = true
	}
	cut, held := !request && l.cut, p.held
	if cut {
		p.held = nil
	}
	p.mu.Unlock()
	if cut {
		if held != nil {
			close(held.came)
			<-held.lose
		}
		return false
	}
	if hole {
		return true
	}
	_, err := to.Write(data)
	return err == nil
}
