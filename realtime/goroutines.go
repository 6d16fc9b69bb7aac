package realtime

import "sync"

// task is what runs on a goroutine until it has ended.
type task interface{ run() }

// goroutines runs tasks, each of which may block for any time: no task waits for
// another one to end. But a goroutine whose task has ended runs the next one, or waits for
// it: the stack of a new goroutine would first have to grow to what hooks and writes
// need, and a thousand tasks that do not block need one goroutine, not a thousand.
//
// While tasks are queued, a goroutine is starting: it has been started or woken, and
// will take one. A goroutine that takes a task and leaves others has another one start,
// before its task can block.
type goroutines struct {
	mu       sync.Mutex
	queue    []task // from first on
	first    int
	starting bool
	waiting  int // goroutines that wait for wake

	wake    chan struct{}
	closed  chan struct{} // ends those that wait
	closing sync.Once
}

// maxWaiting bounds the goroutines that wait.
const maxWaiting = 16

func newGoroutines() *goroutines {
	return &goroutines{wake: make(chan struct{}, maxWaiting), closed: make(chan struct{})}
}

// start runs a task. It does not block.
func (g *goroutines) start(t task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == cap(g.queue) && g.first > len(g.queue)/2 {
		n := copy(g.queue, g.queue[g.first:])
		clear(g.queue[n:])
		g.queue, g.first = g.queue[:n], 0
	}
	g.queue = append(g.queue, t)
	g.startLocked()
}

// startLocked has a goroutine start, unless one does.
func (g *goroutines) startLocked() {
	switch {
	case g.starting:
	case g.waiting > 0:
		g.starting = true
		g.waiting--
		g.wake <- struct{}{} // there is room for one per goroutine that waits
	default:
		g.starting = true
		go g.work()
	}
}

func (g *goroutines) work() {
	started := true
	for {
		t, wait := g.take(started)
		switch {
		case t != nil:
			started = false
			t.run()
			continue
		case !wait:
			return
		}
		select {
		case <-g.wake:
			started = true
		case <-g.closed:
			return
		}
	}
}

// take returns the next task, or nil and whether to wait for one. started says that the
// caller was starting.
func (g *goroutines) take(started bool) (t task, wait bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if started {
		g.starting = false
	}
	if g.first == len(g.queue) {
		if g.waiting == maxWaiting {
			return nil, false
		}
		g.waiting++
		return nil, true
	}
	t = g.queue[g.first]
	g.queue[g.first] = nil
	if g.first++; g.first < len(g.queue) {
		g.startLocked()
	} else {
		g.queue, g.first = g.queue[:0], 0
	}
	return t, false
}

// close ends the goroutines that wait, and the others after their tasks. It may be
// called twice.
func (g *goroutines) close() { g.closing.Do(func() { close(g.closed) }) }
