package sharedstore

import (
	"slices"

	"github.com/safe-go/safe/replay"
)

// follow is one call of Process.Follow. It has a goroutine only while there are
// notifications to deliver.
type follow struct {
	process *Process
	id      string
	notify  func(entries []replay.Entry)

	// The rest is guarded by Medium.mu.

	position position // of the history when it was last notified
	queue    [][]replay.Entry
	running  bool // a goroutine delivers the queue
	stopped  bool
}

// Follow implements replay.Follower. Batches are notified in their order, each
// once, and never as nil, except for the faults.
func (p *Process) Follow(id string, notify func(entries []replay.Entry)) (stop func()) {
	f := &follow{process: p, id: id, notify: notify}
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	p.calls["Follow"]++
	if p.closed {
		return func() {}
	}
	p.follows = append(p.follows, f)
	if p.reachable {
		f.enqueueLocked(nil)
	}
	return f.stop
}

// stop ends the notifications, without waiting for a call that is under way.
func (f *follow) stop() {
	p := f.process
	p.medium.mu.Lock()
	defer p.medium.mu.Unlock()
	f.stopped = true
	p.follows = slices.DeleteFunc(p.follows, func(other *follow) bool { return other == f })
}

// notifyLocked notifies every follow of the history.
func (p *Process) notifyLocked(id string, entries []replay.Entry) {
	for _, f := range p.follows {
		if f.id == id {
			f.enqueueLocked(entries)
		}
	}
}

// followsLocked reports whether the process follows the history.
func (p *Process) followsLocked(id string) bool {
	return slices.ContainsFunc(p.follows, func(f *follow) bool { return f.id == id })
}

// enqueueLocked adds a notification and starts the goroutine that delivers it.
func (f *follow) enqueueLocked(entries []replay.Entry) {
	f.position = f.process.medium.positionLocked(f.id)
	f.queue = append(f.queue, entries)
	if !f.running {
		f.running = true
		f.process.notifiers.Go(f.run)
	}
}

// run delivers the queue until it is empty.
func (f *follow) run() {
	for {
		entries, more := f.next()
		if !more {
			return
		}
		f.notify(entries)
	}
}

// next takes the oldest notification from the queue.
func (f *follow) next() (entries []replay.Entry, more bool) {
	mu := &f.process.medium.mu
	mu.Lock()
	defer mu.Unlock()
	if f.stopped || len(f.queue) == 0 {
		f.queue, f.running = nil, false
		return nil, false
	}
	entries, f.queue = f.queue[0], f.queue[1:]
	return entries, true
}
