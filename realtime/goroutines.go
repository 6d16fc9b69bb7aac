package realtime

import (
	"sync"
	"sync/atomic"
)

// task is what runs on a goroutine of its own until it has ended.
type task interface{ run() }

// goroutines runs tasks. A goroutine whose task has ended waits for the next one,
// because the stack of a new goroutine would first have to grow to what hooks and
// writes need. A task never waits for a goroutine: where none waits, it gets a new
// one.
type goroutines struct {
	next    chan task
	closed  chan struct{} // ends those that wait
	closing sync.Once
	// waiting counts the goroutines that wait.
	waiting atomic.Int32
}

// maxWaiting bounds the goroutines that wait.
const maxWaiting = 16

func newGoroutines() *goroutines {
	return &goroutines{next: make(chan task), closed: make(chan struct{})}
}

// start runs a task. It does not block.
func (g *goroutines) start(t task) {
	select {
	case g.next <- t:
	default:
		go g.work(t)
	}
}

func (g *goroutines) work(t task) {
	for {
		t.run()
		if g.waiting.Add(1) > maxWaiting {
			g.waiting.Add(-1)
			return
		}
		select {
		case t = <-g.next:
			g.waiting.Add(-1)
		case <-g.closed:
			return
		}
	}
}

// close ends the goroutines that wait, and the others after their tasks. It may be
// called twice.
func (g *goroutines) close() { g.closing.Do(func() { close(g.closed) }) }
