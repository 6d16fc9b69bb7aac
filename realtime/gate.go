package realtime

import "sync/atomic"

// gate is a lock that hardly ever anybody waits for: the writer of a connection holds it
// while bytes are being written, and only control frames of the WebSocket library may come
// between. It is not a sync.Mutex because testing/synctest does not take waiting for that
// for idleness. The zero value is open.
type gate struct {
	wanted atomic.Int32 // by how many, of whom one has it
	passed atomic.Pointer[chan struct{}]
}

func (g *gate) lock() {
	if g.wanted.Add(1) > 1 {
		<-g.next()
	}
}

func (g *gate) unlock() {
	if g.wanted.Add(-1) > 0 {
		g.next() <- struct{}{} // there is room: the one before was received
	}
}

// next returns the channel by which the gate is passed on.
func (g *gate) next() chan struct{} {
	for {
		if c := g.passed.Load(); c != nil {
			return *c
		}
		c := make(chan struct{}, 1)
		g.passed.CompareAndSwap(nil, &c)
	}
}
