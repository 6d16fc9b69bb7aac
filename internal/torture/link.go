package torture

import (
	"io"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds a proxy's attempt to connect.
const dialTimeout = 5 * time.Second

// link is one connection through a proxy.
type link struct {
	proxy  *proxy
	client *net.TCPConn
	ended  chan struct{} // closed when the link has ended

	mu     sync.Mutex
	server *net.TCPConn // nil before it is connected
	over   bool
	// halfClosed are the sides that nothing is sent to any more.
	halfClosed map[*net.TCPConn]bool
}

// run connects to the server and forwards both directions until the link ends.
func (l *link) run() {
	defer l.proxy.forget(l)
	defer l.end(-1)
	if !l.awaitOpen() {
		return
	}
	address, readBuffer := l.proxy.destination()
	if address == "" {
		return
	}
	conn, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		return
	}
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		conn.Close()
		return
	}
	l.server = conn.(*net.TCPConn)
	l.mu.Unlock()
	if readBuffer > 0 {
		l.server.SetReadBuffer(readBuffer)
	}
	var both sync.WaitGroup
	both.Go(func() { l.forward(l.server, l.client) })
	both.Go(func() { l.forward(l.client, l.server) })
	both.Wait()
}

// awaitOpen waits until the proxy forwards data, and for the delay. It returns false
// when the link has ended.
func (l *link) awaitOpen() bool {
	for {
		open, delay := l.proxy.conditions()
		select {
		case <-open:
			return delay == 0 || l.pause(delay)
		default:
		}
		select {
		case <-open:
		case <-l.ended:
			return false
		}
	}
}

func (l *link) pause(delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ended:
		return false
	}
}

// forward forwards one direction until it ends.
func (l *link) forward(to, from *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !l.isHalfClosed(to) {
			if !l.awaitOpen() {
				return
			}
			if _, failed := to.Write(buffer[:n]); failed != nil && !l.isHalfClosed(to) {
				l.end(-1)
				return
			}
		}
		switch {
		case err == io.EOF:
			if l.awaitOpen() {
				to.CloseWrite()
			}
			return
		case err != nil:
			l.end(-1)
			return
		}
	}
}

func (l *link) isHalfClosed(side *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halfClosed[side]
}

// halfClose closes one direction. What is sent in that direction is dropped.
func (l *link) halfClose(towardsServer bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	side := l.client
	if towardsServer {
		side = l.server
	}
	if side == nil || l.over {
		return
	}
	if l.halfClosed == nil {
		l.halfClosed = make(map[*net.TCPConn]bool)
	}
	l.halfClosed[side] = true
	side.CloseWrite()
}

// reset ends the link with a TCP reset, as a crash does.
func (l *link) reset() { l.end(0) }

// end closes both sides. linger is that of net.TCPConn.SetLinger: 0 resets.
func (l *link) end(linger int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.ended)
	for _, side := range []*net.TCPConn{l.client, l.server} {
		if side != nil {
			side.SetLinger(linger)
			side.Close()
		}
	}
}
