package sharedata

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// workers are the goroutines that run for ShareData. One that has nothing to do
// waits for the next ShareData, because the stack of a new goroutine would first
// have to grow to what functions need.
type workers struct {
	// next hands a ShareData to a goroutine that waits.
	next chan *shareData
	// closed ends the goroutines that wait.
	closed chan struct{}
	// running counts the goroutines that run for a ShareData, without those that
	// were replaced because a function overran its deadline. parked counts those
	// that wait.
	running, parked sync.WaitGroup
	parkedCount     atomic.Int32
}

// maxParked bounds the goroutines that wait.
const maxParked = 16

func newWorkers() *workers {
	return &workers{next: make(chan *shareData), closed: make(chan struct{})}
}

// start has a goroutine run for the ShareData. It must not be called after close.
func (p *workers) start(s *shareData) {
	p.running.Add(1)
	p.resume(s)
}

// resume has another goroutine run for a ShareData in place of one that is stuck.
func (p *workers) resume(s *shareData) {
	select {
	case p.next <- s:
	default:
		go p.work(s)
	}
}

func (p *workers) work(s *shareData) {
	w := &worker{}
	w.watchdog = time.AfterFunc(time.Hour, w.watch)
	w.watchdog.Stop()
	for {
		if !s.run(w) {
			return // another goroutine is counted in its place
		}
		if p.parkedCount.Add(1) > maxParked {
			p.parkedCount.Add(-1)
			p.running.Done()
			return
		}
		p.parked.Add(1) // before Done, so that close sees it
		p.running.Done()
		more := true
		select {
		case s = <-p.next:
		case <-p.closed:
			more = false
		}
		p.parkedCount.Add(-1)
		p.parked.Done()
		if !more {
			return
		}
	}
}

// close waits until no goroutine runs for a ShareData, and ends those that wait.
// It is called once.
func (p *workers) close() {
	p.running.Wait()
	close(p.closed)
	p.parked.Wait()
}

// worker is one of the goroutines, with the timer that abandons the functions which
// overrun their deadlines.
type worker struct {
	watchdog *time.Timer
	// calling is the call that the watchdog watches; nil for none.
	calling atomic.Pointer[functionCall]
}

// watch is called by the watchdog. The call for which it was set may have ended
// meanwhile.
func (w *worker) watch() {
	if call := w.calling.Load(); call != nil && !time.Now().Before(call.deadline) {
		call.abandon(context.DeadlineExceeded)
	}
}
