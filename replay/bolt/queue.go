package bolt

import (
	"context"
	"sync"
	"time"

	"github.com/safe-go/safe/replay"
)

// The bounds of a group: what arrives while it is committed waits for it, so it
// should not become too long.
const (
	maxGroup      = 1 << 10
	maxGroupBytes = 16 << 20
)

// appending is a batch that waits to be committed.
type appending struct {
	ctx   context.Context
	id    string
	batch replay.Batch
	bytes int

	// done is closed when err is set.
	done chan struct{}
	err  error
}

func newAppending(ctx context.Context, id string, batch replay.Batch) *appending {
	a := &appending{ctx: ctx, id: id, batch: batch, bytes: len(batch.Meta), done: make(chan struct{})}
	for i := range batch.Entries {
		e := &batch.Entries[i]
		a.bytes += int(entrySize(len(e.Key), len(e.Data), len(e.State)))
	}
	return a
}

// wait returns the answer, or the context's error if that ends first.
func (a *appending) wait(ctx context.Context) error {
	select {
	case <-a.done:
	case <-ctx.Done():
		select {
		case <-a.done: // it was in time
		default:
			return ctx.Err()
		}
	}
	return a.err
}

// queue has the batches that wait to be committed. While there are some, one
// goroutine commits them, group by group. An idle store has none.
type queue struct {
	mu      sync.Mutex
	waiting []*appending
	running bool
	closed  bool
	// last is how many batches the last group had, and taken when it was taken.
	last  int
	taken time.Time
	// expected is how many batches gather waits for, and enough is what it is
	// told by that there are so many; nil while it does not wait.
	expected int
	enough   chan struct{}
}

// add adds a batch, and calls start if the goroutine has to be started.
func (q *queue) add(a *appending, start func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return replay.ErrClosed
	}
	q.waiting = append(q.waiting, a)
	q.tell()
	if !q.running {
		q.running = true
		start()
	}
	return nil
}

// take returns the next group. If there is none and nothing else is to be done,
// the goroutine has to end.
func (q *queue) take(idle bool) (group []*appending, end bool) {
	q.gather()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enough = nil
	n, bytes := 0, 0
	for n < len(q.waiting) && n < maxGroup && bytes < maxGroupBytes {
		bytes += q.waiting[n].bytes
		n++
	}
	group = q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.last, q.taken = n, time.Now()
	if n == 0 {
		q.waiting = nil
		q.running = !idle && !q.closed
	}
	return group, !q.running
}

// maxGathering bounds how long gather waits, which is otherwise a part of how
// long the last group took.
const (
	maxGathering  = time.Millisecond
	gatheringPart = 4
)

// gather waits a little for those whom the last group has answered: they are
// likely to come back with the next batch. Otherwise most of them would just
// miss this group, and half of what is under way would always wait for a commit
// of the other half.
func (q *queue) gather() {
	q.mu.Lock()
	q.expected = min(len(q.waiting)+q.last, maxGroup)
	if q.closed || len(q.waiting) >= q.expected {
		q.mu.Unlock()
		return
	}
	enough := make(chan struct{})
	q.enough = enough
	q.mu.Unlock()
	timer := time.NewTimer(min(time.Since(q.taken)/gatheringPart, maxGathering))
	defer timer.Stop()
	select {
	case <-enough:
	case <-timer.C:
	}
}

// tell tells gather if there is no more to wait for.
func (q *queue) tell() {
	if q.enough != nil && (q.closed || len(q.waiting) >= q.expected) {
		close(q.enough)
		q.enough = nil
	}
}

// close refuses what waits and what is to come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.tell()
	for _, a := range q.waiting {
		a.err = replay.ErrClosed
		close(a.done)
	}
	q.waiting = nil
}
