package realtime

import (
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
)

// poller waits for what the peers of all idle connections send, with one goroutine: a
// goroutine for each connection, with its stack, would take as much memory as all the rest
// of it. It is an epoll of its own (epoll(7)), because package net has none for connections
// that no goroutine waits for. The zero value is ready to use.
type poller struct {
	mu      sync.Mutex
	waiting map[int32]*socket // by file descriptor
	epoll   *os.File          // nil until the first use
	fd      int               // of epoll
	stopped chan struct{}     // closed when no goroutine waits any more
	closed  bool              // nobody waits any more
}

// polled is what the poller knows of a connection. It is guarded by poller.mu.
type polled struct {
	session *session // that is to be read on; nil while the connection does not wait
	fd      int32
	added   bool // to epoll
}

// park has the session read on when its peer has sent something or has gone, or when the
// connection is closed here. It returns false where that is not possible. Otherwise the
// session may be read on already.
func (p *poller) park(s *session, t *socket) (parked bool) {
	if t.raw == nil || len(t.early) > 0 {
		return false
	}
	if err := t.raw.Control(func(fd uintptr) { parked = p.add(s, t, int32(fd)) }); err != nil || !parked {
		return false
	}
	if t.closed.Load() {
		p.unpark(t) // Close may have looked before
	}
	return true
}

func (p *poller) add(s *session, t *socket, fd int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.openLocked() {
		return false
	}
	operation := syscall.EPOLL_CTL_ADD
	if t.polled.added {
		operation = syscall.EPOLL_CTL_MOD
	}
	// What has already arrived is an event too.
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: fd}
	if syscall.EpollCtl(p.fd, operation, int(fd), &event) != nil {
		return false
	}
	t.polled = polled{session: s, fd: fd, added: true}
	p.waiting[fd] = t
	return true
}

// unpark has the session of a connection read on, if that waits.
func (p *poller) unpark(t *socket) {
	p.mu.Lock()
	s := p.takeLocked(t)
	p.mu.Unlock()
	readOn(s)
}

// takeLocked ends the wait of a connection, which may be nil, and returns its session; nil
// if it does not wait.
func (p *poller) takeLocked(t *socket) (s *session) {
	if t == nil || t.polled.session == nil {
		return nil
	}
	s, t.polled.session = t.polled.session, nil
	if p.waiting[t.polled.fd] == t { // another connection may have got its descriptor
		delete(p.waiting, t.polled.fd)
	}
	return s
}

func readOn(s *session) {
	if s != nil {
		s.server.startReading(s)
	}
}

// openLocked has a goroutine wait for events. It returns false where that is not possible.
func (p *poller) openLocked() bool {
	if p.epoll != nil || p.closed {
		return !p.closed
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	// The runtime waits for events of this one as for those of any file.
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return false
	}
	epoll := os.NewFile(uintptr(fd), "epoll")
	raw, err := epoll.SyscallConn()
	if err != nil {
		epoll.Close()
		return false
	}
	p.fd, p.epoll = fd, epoll
	p.waiting, p.stopped = make(map[int32]*socket), make(chan struct{})
	go p.wait(raw)
	return true
}

// wait has sessions read on until the poller is closed.
func (p *poller) wait(raw syscall.RawConn) {
	defer close(p.stopped)
	var events [128]syscall.EpollEvent
	raw.Read(func(fd uintptr) bool { // until an error, which is that the poller was closed
		for {
			n, err := syscall.EpollWait(int(fd), events[:], 0)
			switch {
			case err == syscall.EINTR:
				continue
			case n <= 0:
				return false
			}
			for _, event := range events[:n] {
				p.mu.Lock()
				s := p.takeLocked(p.waiting[event.Fd])
				p.mu.Unlock()
				readOn(s)
			}
		}
	})
	p.mu.Lock()
	p.closed = true
	left := slices.Collect(maps.Values(p.waiting)) // none, unless there was another error
	p.mu.Unlock()
	for _, t := range left {
		p.unpark(t)
	}
}

// close ends the goroutine, when no connection is left.
func (p *poller) close() {
	p.mu.Lock()
	p.closed = true
	epoll := p.epoll
	p.mu.Unlock()
	if epoll != nil {
		epoll.Close() // a second time has no effect
		<-p.stopped
	}
}
