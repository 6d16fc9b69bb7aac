package realtime

import (
	"runtime"
	"sync"
)

// task is what runs on a goroutine until it has ended.
type task interface{ run() }

// goroutines runs tasks, each of which may block for any time: no task waits for
// another one to end. But a goroutine whose task has ended runs the next one, or waits for
// it: the stack of a new goroutine would first have to grow to what hooks and writes
// need, and a thousand tasks that do not block need one goroutine, not a thousand.
//
// Tasks of which there are very many at once have a queue of their own, which takes turns
// with the other one: whatever else is to be done does not wait for all of them.
//
// While tasks are queued, a goroutine is starting: it has been started or woken, and
// will take one. A goroutine that takes a task and leaves others has another one start,
// before its task can block.
type goroutines struct {
	mu       sync.Mutex
	queue    fifo[task]
	bulk     fifo[task]
	bulkNext bool // whose turn it is
	starting bool
	waiting  int // goroutines that wait for wake

	wake    chan struct{}
	closed  chan struct{} // ends those that wait
	closing sync.Once
}

// tasksPerTurn is after how many tasks a goroutine lets others run, which would otherwise
// wait until the runtime interrupts it, for 10 ms.
const tasksPerTurn = 8

// maxWaiting bounds the goroutines that wait.
const maxWaiting = 16

func newGoroutines() *goroutines {
	return &goroutines{wake: make(chan struct{}, maxWaiting), closed: make(chan struct{})}
}

// start runs a task. It does not block.
func (g *goroutines) start(t task) { g.startIn(&g.queue, t) }

// startBulk is start for one of very many tasks.
func (g *goroutines) startBulk(t task) { g.startIn(&g.bulk, t) }

func (g *goroutines) startIn(q *fifo[task], t task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.push(t)
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
	for n := 1; ; n++ {
		if n%tasksPerTurn == 0 {
			runtime.Gosched()
		}
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
	if g.queue.len()+g.bulk.len() == 0 {
		if g.waiting == maxWaiting {
			return nil, false
		}
		g.waiting++
		return nil, true
	}
	next, other := &g.queue, &g.bulk
	if g.bulkNext {
		next, other = other, next
	}
	g.bulkNext = !g.bulkNext
	if next.len() == 0 {
		next = other
	}
	t = next.pop()
	if g.queue.len()+g.bulk.len() > 0 {
		g.startLocked()
	}
	return t, false
}

// close ends the goroutines that wait, and the others after their tasks. It may be
// called twice.
func (g *goroutines) close() { g.closing.Do(func() { close(g.closed) }) }
