package sharedata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/safe-go/safe/replay"
)

// shareData is one loaded ShareData: what waits to change it, where its history
// stands, and who is told. It has a goroutine only while something waits.
//
// Lock order: shareData.handover, then Manager.mu, then shareData.mu.
type shareData struct {
	manager *Manager
	id      string

	// handover makes the change of current and the calls of the observers one
	// ordered section: who holds it sees a position, and nobody who has been
	// told of later entries.
	handover  sync.Mutex
	observers []*observation

	// current is written with handover held and read by everybody. It is nil
	// until the history was loaded.
	current atomic.Pointer[position]

	// The goroutine of run alone uses these.
	stale bool   // an append failed: the store may hold more than current
	epoch uint64 // the latest epoch that is known to have been used

	mu      sync.Mutex
	waiting []*request
	running bool
}

// request is a change that waits for its turn, and where its outcome goes.
type request struct {
	ctx       context.Context
	change    change
	functions Functions // to be registered when a create succeeds
	done      func(outcome)
}

func (r *request) fail(err error) { r.done(outcome{err: err}) }

// run is the goroutine that changes the ShareData; there is one at a time.
func (s *shareData) run() {
	defer s.manager.running.Done()
	for {
		batch := s.take()
		if batch == nil {
			s.manager.forget(s)
			return
		}
		s.commit(batch)
	}
}

// take removes what waits from the queue, up to the size of a batch. It returns
// nil, and ends the run, when nothing does.
func (s *shareData) take() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.waiting
	if limit := s.manager.options.MaxBatch; limit > 0 && len(batch) > limit {
		batch = slices.Clone(batch[:limit])
		s.waiting = slices.Delete(s.waiting, 0, limit)
		return batch
	}
	s.waiting = nil
	if len(batch) == 0 {
		s.running = false
		return nil
	}
	return batch
}

// commit is the way of a proposal:
//
//  1. take every change that waits (take did)
//  2. judge each on the state that the one before it left
//  3. number the entries and chain their hashes
//  4. append them where they were decided: the only point of commit
//     conflict: another process was first; follow it, then go back to 2
//  5. make the new state current and tell the observers, in order
//  6. answer the proposers
//
// Nobody is told of an entry before the store has taken it, neither by 5 nor
// by 6; and 5 comes before 6, so who has a verdict can see its effect.
func (s *shareData) commit(requests []*request) {
	retry := retry{limit: s.manager.options.StoreTimeout}
	for len(requests) > 0 {
		if requests = s.drop(requests); len(requests) == 0 {
			return
		}
		at, known, err := s.prepare(requests)
		if err != nil {
			failAll(requests, err)
			return
		}
		d := decide(at, changesOf(requests), circumstances{
			id: s.id, now: time.Now(), epoch: replay.NewEpoch(max(s.epoch, at.cursor.Epoch)), known: known,
		})
		answered := requests[:len(d.outcomes)]
		if len(d.entries) > 0 {
			if err = s.append(at, d); errors.Is(err, replay.ErrConflict) {
				if err = s.follow(err); err == nil {
					err = retry.wait()
				}
				if err == nil {
					continue
				}
			}
			if err == nil {
				s.register(answered, d)
				s.publish(d.next, d.events)
			}
		}
		answer(answered, d, err)
		if s.stale {
			// If the store has taken it all the same, the observers shall not
			// have to wait for the next change to hear of it. Failing that, the
			// next change begins with another attempt.
			_ = s.follow(nil)
		}
		requests = requests[len(answered):]
	}
}

// drop turns away requests whose context has ended, and all of them once the
// manager is closed.
func (s *shareData) drop(requests []*request) []*request {
	return slices.DeleteFunc(requests, func(r *request) bool {
		err := s.manager.refuse(r.ctx)
		if err != nil {
			r.fail(err)
		}
		return err != nil
	})
}

// refuse says why a request is not to be judged any more, nil if it is.
func (m *Manager) refuse(ctx context.Context) error {
	err := ctx.Err()
	if m.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		err = fmt.Errorf("not judged: %w", err)
	}
	return err
}

// prepare returns what a decision depends on: where the history stands, and
// the entries by the requests' keys.
func (s *shareData) prepare(requests []*request) (position, map[string]Entry, error) {
	if s.stale {
		if err := s.follow(nil); err != nil {
			return position{}, nil, err
		}
	}
	if at := s.current.Load(); at == nil || !at.exists { // it may exist by now
		if err := s.load(); err != nil {
			return position{}, nil, err
		}
	}
	for {
		at := *s.current.Load()
		known, err := s.find(at, requests)
		if err != nil || !beyond(known, at) {
			return at, known, err
		}
		// Another process has a proposal's verdict. It is told once its effect
		// can be seen here.
		if err := s.follow(nil); err != nil {
			return position{}, nil, err
		}
		if s.current.Load().cursor == at.cursor { // the store contradicts itself
			return at, known, nil
		}
	}
}

// beyond reports whether one of the entries is not in the history up to at.
func beyond(entries map[string]Entry, at position) bool {
	for _, e := range entries {
		if e.Cursor.Epoch != at.cursor.Epoch || e.Cursor.Revision > at.cursor.Revision {
			return true
		}
	}
	return false
}

// find returns the entries by the requests' keys. As it looks after at was
// read, none is missing that was appended before: the append would conflict.
func (s *shareData) find(at position, requests []*request) (map[string]Entry, error) {
	var keys []string
	for _, r := range requests {
		if r.change.key != "" {
			keys = append(keys, r.change.key)
		}
	}
	if len(keys) == 0 || !at.exists {
		return nil, nil
	}
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	found, err := s.manager.options.Store.Find(ctx, s.id, keys)
	if err != nil {
		return nil, s.storeError("find", err)
	}
	known := make(map[string]Entry, len(found))
	for _, stored := range found {
		e, err := entryFrom(s.id, stored)
		if err != nil {
			return nil, s.storeError("find", err)
		}
		known[stored.Key] = e
	}
	return known, nil
}

// append commits the decision. Any error but a conflict leaves it open whether
// the store has taken it, which is found out before the next decision.
func (s *shareData) append(at position, d decision) error {
	meta, err := d.next.meta()
	if err != nil {
		return err
	}
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	_, err = s.manager.options.Store.Append(ctx, s.id, replay.Batch{
		Expect: at.cursor, Entries: d.records, Meta: meta, Remove: d.remove,
	})
	if err == nil || errors.Is(err, replay.ErrConflict) {
		return err
	}
	s.stale = true
	return s.storeError("append", err)
}

// register makes the functions of what was created callable before anybody
// hears of it.
func (s *shareData) register(requests []*request, d decision) {
	for i, r := range requests {
		if r.change.kind == changeCreate && d.outcomes[i].err == nil {
			s.manager.setFunctions(s.id, r.functions)
		}
	}
	if d.remove {
		s.epoch = max(s.epoch, d.entries[0].Cursor.Epoch)
	}
}

// publish makes next current and tells the observers, in one ordered section.
func (s *shareData) publish(next position, events []Event) {
	s.handover.Lock()
	defer s.handover.Unlock()
	s.current.Store(&next)
	if len(events) == 0 {
		return
	}
	if !next.exists {
		s.manager.setFunctions(s.id, nil)
	}
	s.observers = slices.DeleteFunc(s.observers, isStopped)
	for _, o := range s.observers {
		o.tell(events)
	}
	for _, o := range s.manager.everywhere() {
		o.tell(events)
	}
	if !next.exists {
		s.observers = nil // a removal is the last event
	}
}

// answer hands out the outcomes. err is why the append failed, if it did.
func answer(requests []*request, d decision, err error) {
	for i, r := range requests {
		o := d.outcomes[i]
		if err != nil && o.pending {
			o = outcome{err: err}
		}
		r.done(o)
	}
}

func failAll(requests []*request, err error) {
	for _, r := range requests {
		r.fail(err)
	}
}

func changesOf(requests []*request) []change {
	changes := make([]change, len(requests))
	for i, r := range requests {
		changes[i] = r.change
	}
	return changes
}

func (s *shareData) storeError(operation string, err error) error {
	err = &StoreError{ShareDataID: s.id, Operation: operation, Err: err}
	s.manager.options.Logger.Error("store failed", "shareData", s.id, "operation", operation, "error", err)
	return err
}

// retry spaces out the attempts of a commit that keeps meeting conflicts, for
// at most limit; without a bound where that is not positive.
type retry struct {
	limit   time.Duration
	backoff backoff.BackOff
}

// wait pauses before the next attempt, longer each time and by chance, so that
// processes that contend do not meet again at the same moment. The first time
// it does not pause. It fails after the limit.
func (r *retry) wait() error {
	if r.backoff == nil {
		r.backoff = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Millisecond),
			backoff.WithMaxInterval(100*time.Millisecond),
			backoff.WithMaxElapsedTime(max(r.limit, 0)),
		)
		return nil
	}
	pause := r.backoff.NextBackOff()
	if pause == backoff.Stop {
		return fmt.Errorf("%w: other processes keep being first", ErrBusy)
	}
	time.Sleep(pause)
	return nil
}
