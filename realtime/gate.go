package realtime

import "sync/atomic"

// gate is a lock that is almost never contended: the writer of a connection holds it while
// it writes, and only the WebSocket library writes besides, a control frame. It is not a
// sync.Mutex, because testing/synctest does not count a goroutine that waits for one as
// blocked. The zero value is unlocked.
type gate struct {
	wanted atomic.Int32                  // by the goroutine that holds it and those that wait
	handed atomic.Pointer[chan struct{}] // over which it is handed on; made by the first that waits
}

func (g *gate) lock() {
	if g.wanted.Add(1) > 1 {
		<-g.handover()
	}
}

func (g *gate) unlock() {
	if g.wanted.Add(-1) > 0 {
		g.handover() <- struct{}{} // does not block: the holder has received the one before
	}
}

func (g *gate) handover() chan struct{} {
	for {
		if c := g.handed.Load(); c != nil {
			return *c
		}
		c := make(chan struct{}, 1)
		g.handed.CompareAndSwap(nil, &c)
	}
}
