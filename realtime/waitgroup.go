package realtime

import "sync"

// waitGroup counts what is in progress and signals when nothing is any more.
// Unlike a sync.WaitGroup it may be added to while a goroutine waits.
type waitGroup struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed, and nil again, when n comes down to 0
}

// add counts one more, unless the group was closed.
func (g *waitGroup) add() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

func (g *waitGroup) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// close makes add refuse from now on.
func (g *waitGroup) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// whenIdle returns a channel that is closed as soon as nothing is in progress.
func (g *waitGroup) whenIdle() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	if g.n == 0 {
		close(g.idle)
		g.idle = nil
	}
	return idle
}
