package bolt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// The bounds of a group: what arrives while it is committed waits for it, so it
// should not become too long.
const (
	maxGroup      = 1 << 10
	maxGroupBytes = 16 << 20
)

// deletesPerGroup is how many entries, keys and parts of snapshots of removed
// histories a group deletes. It bounds what a removal costs the batches of the
// group.
const deletesPerGroup = 512

// pending is a batch that waits to be committed.
type pending struct {
	ctx   context.Context
	id    string
	batch replay.Batch
	bytes int

	// done is closed when err is set.
	done chan struct{}
	err  error
}

func newPending(ctx context.Context, id string, batch replay.Batch) *pending {
	p := &pending{ctx: ctx, id: id, batch: batch, bytes: len(batch.Meta) + len(batch.Snapshot), done: make(chan struct{})}
	for i := range batch.Entries {
		e := &batch.Entries[i]
		p.bytes += int(entrySize(len(e.Key), len(e.Data)))
	}
	return p
}

// wait returns the result, or the context's error if that ends first.
func (p *pending) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		select {
		case <-p.done: // it was in time
		default:
			return ctx.Err()
		}
	}
	return p.err
}

// queue has the batches that wait to be committed. While there are some, one
// goroutine commits them, group by group. An idle store has none.
type queue struct {
	mu      sync.Mutex
	waiting []*pending
	running bool
	closed  bool
	// last is how many batches the last group had, and taken when it was taken.
	last  int
	taken time.Time
	// expected is how many batches gather waits for, and complete is closed when
	// they are there; nil while gather does not wait.
	expected int
	complete chan struct{}
}

// add adds a batch, and calls start if the goroutine has to be started.
func (q *queue) add(p *pending, start func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return replay.ErrClosed
	}
	q.waiting = append(q.waiting, p)
	q.wakeGatherLocked()
	if !q.running {
		q.running = true
		start()
	}
	return nil
}

// take returns the next group. If there is none and idle is true, the
// goroutine has to end.
func (q *queue) take(idle bool) (group []*pending, end bool) {
	q.gather()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.complete = nil
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

// maxGathering bounds how long gather waits, which is otherwise a part of the
// duration of the last commit.
const (
	maxGathering  = time.Millisecond
	gatheringPart = 4
)

// gather waits a little for the callers whose batches were in the last group:
// they are likely to append again. Otherwise most of them would just miss this
// group, and half of them would always wait for a commit of the other half.
func (q *queue) gather() {
	q.mu.Lock()
	q.expected = min(len(q.waiting)+q.last, maxGroup)
	if q.closed || len(q.waiting) >= q.expected {
		q.mu.Unlock()
		return
	}
	complete := make(chan struct{})
	q.complete = complete
	q.mu.Unlock()
	timer := time.NewTimer(min(time.Since(q.taken)/gatheringPart, maxGathering))
	defer timer.Stop()
	select {
	case <-complete:
	case <-timer.C:
	}
}

// wakeGatherLocked ends gather if there is nothing more to wait for.
func (q *queue) wakeGatherLocked() {
	if q.complete != nil && (q.closed || len(q.waiting) >= q.expected) {
		close(q.complete)
		q.complete = nil
	}
}

// close refuses the batches that wait and those to come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeGatherLocked()
	for _, p := range q.waiting {
		p.err = replay.ErrClosed
		close(p.done)
	}
	q.waiting = nil
}

// commitGroups commits what waits, group by group, until nothing does. Then it
// deletes what is left of removed histories, after the batches that arrive
// meanwhile.
func (s *Store) commitGroups() {
	idle := true
	for {
		group, end := s.queue.take(idle)
		if end {
			return
		}
		idle = !s.commitGroup(group)
	}
}

// commitGroup commits a group and gives each batch its result. It reports
// whether something is left of removed histories.
func (s *Store) commitGroup(group []*pending) (more bool) {
	before, _ := s.durable.newest()
	more, err := s.tryGroup(group)
	if !s.keepRemoved && s.failedWithoutTrace(before, err) {
		s.logger.Warn("bolt: what is left of removed histories is not deleted any more, because the file is damaged",
			slog.String("file", s.path), slog.Any("error", err))
		s.keepRemoved = true
		more, err = s.tryGroup(group)
	}
	if len(group) > 1 && s.failedWithoutTrace(before, err) {
		// One of the batches has met the damage. The others can be committed.
		for _, p := range group {
			s.commitGroup([]*pending{p})
		}
		return false
	}
	for _, p := range group {
		if err != nil {
			p.err = err
		}
		close(p.done)
	}
	return more && err == nil
}

// failedWithoutTrace reports whether a group has met damage and, as the file
// ends with the transaction before, nothing of it was committed.
func (s *Store) failedWithoutTrace(before int, err error) bool {
	if !errors.Is(err, ErrDamaged) || s.restore() != nil {
		return false
	}
	now, _ := s.durable.newest()
	return now == before
}

// tryGroup writes and commits a group. Where it fails, nothing of the group was
// committed, or it is not known whether it was.
func (s *Store) tryGroup(group []*pending) (more bool, err error) {
	err = s.withFile(context.Background(), func() error {
		if err := s.inPlace(); err != nil {
			return err
		}
		s.writing.Lock()
		defer s.writing.Unlock()
		tx, err := s.beginWrite()
		if err != nil {
			return err
		}
		changed := false
		err = guarded(func() error {
			changed, more, err = s.writeGroup(tx, group)
			return err
		})
		switch {
		case panicked(err):
			s.abandon(tx, err)
			return s.failed(err)
		case err != nil || !changed:
			return s.failed(errors.Join(err, s.database.rollback(tx)))
		}
		if err := s.commit(tx); err != nil {
			return err
		}
		return s.inPlace() // or what was committed is lost with the next start
	})
	return more, err
}

// beginWrite begins a transaction that writes, on what is on the disk.
func (s *Store) beginWrite() (*bbolt.Tx, error) {
	tx, err := s.database.begin(true)
	if err != nil {
		return nil, s.failed(err)
	}
	if durable, _ := s.durable.newest(); tx.ID() != durable+1 {
		return nil, errors.Join(errInDoubt, s.database.rollback(tx))
	}
	return tx, nil
}

// writeGroup checks and writes each batch of a group, which sees those before
// it.
func (s *Store) writeGroup(tx *bbolt.Tx, group []*pending) (changed, more bool, err error) {
	w, err := s.newWriter(tx, s.now())
	if err != nil {
		return false, false, err
	}
	for _, p := range group {
		if p.err = p.ctx.Err(); p.err != nil {
			continue
		}
		h, refused := w.checkConflict(p.id, &p.batch)
		if refused != nil {
			p.err = s.damage(refused)
			continue
		}
		changed = true
		if err = w.write(p.id, h, &p.batch); err != nil {
			return false, false, err
		}
	}
	deleted := false
	if !s.keepRemoved {
		if deleted, more, err = w.deleteRemoved(deletesPerGroup); err != nil {
			return false, false, err
		}
	}
	return changed || deleted, more, w.beforeCommit()
}

// commit commits a transaction and waits until it is on the disk. The caller
// holds writing, or mu for writing.
func (s *Store) commit(tx *bbolt.Tx) error {
	s.durable.begin(tx.ID())
	err := guarded(tx.Commit)
	s.durable.end(err == nil)
	if panicked(err) {
		s.abandon(tx, err)
	}
	return s.failed(err)
}

// abandon gives up a transaction in which bbolt has panicked.
func (s *Store) abandon(tx *bbolt.Tx, err error) {
	s.database.abandon(tx)
	if p, ok := errors.AsType[*panicError](err); ok {
		s.logger.Error("bolt: a transaction panicked, and the file has to be opened again", slog.String("file", s.path),
			slog.Any("error", err), slog.String("stack", string(p.stack)))
	}
}
