package redis

import (
	"context"
	"sync"

	"github.com/safe-go/safe/replay"
)

// What may wait to be told. Beyond that, whoever follows is told to look
// instead, so a slow one costs bounded memory and misses nothing.
const (
	maxTold      = 64       // batches of one Follow
	maxToldBytes = 1 << 20  // of one Follow
	maxAllBytes  = 64 << 20 // of all together
)

// telling calls those who follow, one at a time, and holds no lock while it
// does.
type telling struct {
	ready chan struct{}

	// mu guards everything below, and the fields of every follow.
	mu      sync.Mutex
	waiting []*follow
	bytes   int // that wait
}

// follow is one call of Follow.
type follow struct {
	tell func(entries []replay.Entry)

	// The rest is guarded by telling.mu.

	queue   [][]replay.Entry
	bytes   int
	waiting bool // it is in telling.waiting
	stopped bool
}

func newTelling() *telling { return &telling{ready: make(chan struct{}, 1)} }

// push has the entries told, or with nil that there is something to look at.
func (q *telling) push(w *follow, entries []replay.Entry) {
	size := sizeOf(entries)
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.stopped {
		return
	}
	if n := len(w.queue); entries == nil && n > 0 && w.queue[n-1] == nil {
		return
	}
	if len(w.queue) >= maxTold || w.bytes+size > maxToldBytes || q.bytes+size > maxAllBytes {
		q.dropLocked(w)
		entries, size = nil, 0
	}
	w.queue = append(w.queue, entries)
	w.bytes += size
	q.bytes += size
	if !w.waiting {
		w.waiting = true
		q.waiting = append(q.waiting, w)
		signal(q.ready)
	}
}

// stop has nothing told any more.
func (q *telling) stop(w *follow) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.stopped = true
	q.dropLocked(w)
}

func (q *telling) dropLocked(w *follow) {
	q.bytes -= w.bytes
	w.queue, w.bytes = nil, 0
}

// run tells until the store is closed.
func (q *telling) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ready:
		}
		for {
			waiting := q.take()
			if len(waiting) == 0 {
				break
			}
			for _, w := range waiting {
				if ctx.Err() != nil {
					return
				}
				q.next(w)
			}
		}
	}
}

func (q *telling) take() []*follow {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := q.waiting
	q.waiting = nil
	return waiting
}

// next tells one thing.
func (q *telling) next(w *follow) {
	q.mu.Lock()
	if len(w.queue) == 0 {
		w.waiting = false
		q.mu.Unlock()
		return
	}
	entries := w.queue[0]
	size := sizeOf(entries)
	w.queue[0] = nil
	w.queue = w.queue[1:]
	w.bytes -= size
	q.bytes -= size
	q.waiting = append(q.waiting, w) // to see whether there is more
	q.mu.Unlock()
	w.tell(entries)
}

func sizeOf(entries []replay.Entry) int {
	size := 0
	for i := range entries {
		size += len(entries[i].Key) + len(entries[i].Data) + len(entries[i].State) + 128
	}
	return size
}
