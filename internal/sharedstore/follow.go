package sharedstore

import (
	"slices"

	"github.com/safe-go/safe/replay"
)

// following is one call of Process.Follow. It holds a goroutine only while there
// is something to tell.
type following struct {
	process *Process
	id      string
	tell    func(entries []replay.Entry)

	// The rest is guarded by the Shared's mu.

	told    place // where the history was when something was last told
	queue   [][]replay.Entry
	telling bool
	stopped bool
}

// Follow implements replay.Follower. Batches are told in their order, each
// once, and never as nil, except for the faults.
func (p *Process) Follow(id string, tell func(entries []replay.Entry)) (stop func()) {
	f := &following{process: p, id: id, tell: tell}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.calls["Follow"]++
	if p.closed {
		return func() {}
	}
	p.follows = append(p.follows, f)
	if p.reachable {
		f.sayLocked(nil)
	}
	return f.stop
}

// stop ends the telling, without waiting for a call that is under way.
func (f *following) stop() {
	p := f.process
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	f.stopped = true
	p.follows = slices.DeleteFunc(p.follows, func(other *following) bool { return other == f })
}

// announceLocked tells of a batch that was just committed.
func (p *Process) announceLocked(id string, entries []replay.Entry) {
	for _, f := range p.follows {
		if f.id == id {
			f.sayLocked(entries)
		}
	}
}

// sayLocked has something told.
func (f *following) sayLocked(entries []replay.Entry) {
	f.told = f.process.shared.placeLocked(f.id)
	f.queue = append(f.queue, entries)
	if !f.telling {
		f.telling = true
		f.process.telling.Go(f.run)
	}
}

// run tells what there is to tell.
func (f *following) run() {
	for {
		entries, more := f.next()
		if !more {
			return
		}
		f.tell(entries)
	}
}

func (f *following) next() (entries []replay.Entry, more bool) {
	mu := &f.process.shared.mu
	mu.Lock()
	defer mu.Unlock()
	if f.stopped || len(f.queue) == 0 {
		f.queue, f.telling = nil, false
		return nil, false
	}
	entries, f.queue = f.queue[0], f.queue[1:]
	return entries, true
}
