package realtime

import "sync"

// waitGroup counts what is under way and tells when nothing is any more. Unlike
// a sync.WaitGroup it may be added to while somebody waits.
type waitGroup struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed, and nil again, when n comes down to 0
}

// add counts one more, unless the waitGroup was closed.
func (t *waitGroup) add() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *waitGroup) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// close makes add refuse from now on.
func (t *waitGroup) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// whenIdle returns a channel that is closed as soon as nothing is under way.
func (t *waitGroup) whenIdle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	if t.n == 0 {
		close(t.idle)
		t.idle = nil
	}
	return idle
}
