package sharedata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

// shareData is one loaded ShareData: what waits to change it, where its history
// stands, and who is told. It has a goroutine only while something waits.
//
// Lock order: shareData.handover, then Manager.mu, then shareData.mu. The others
// are leaves. Who holds Manager.mu may try handover, but not wait for it.
type shareData struct {
	manager *Manager
	id      string

	// used is the manager's clock at the last use.
	used atomic.Uint64
	// telling is set while observers are told, who must not be made to wait for
	// what only the goroutine that tells them could do.
	telling atomic.Bool
	// judging is set while functions may run, or outcomes are handed out: those
	// must not be made to wait either.
	judging atomic.Bool
	// followed says that the store tells of what other processes append.
	followed atomic.Bool
	// observed says that there are observers.
	observed atomic.Bool
	// departed says that an observation has ended that is still in observers.
	departed atomic.Bool
	recent   recent

	// handover makes the change of current and the calls of the observers one
	// ordered section: who holds it sees a position, and nobody who has been
	// told of later entries.
	handover  sync.Mutex
	observers []*observation
	unfollow  func() // not nil while followed
	size      int64  // what is counted for it in Manager.loadedBytes
	unloaded  bool   // it is not the manager's any more

	// current is written with handover held and read by everybody. It is nil
	// until the history was loaded.
	current atomic.Pointer[position]

	// The goroutine of run alone uses these.
	stale bool   // an append failed: the store may hold more than current
	epoch uint64 // the latest epoch that is known to have been used
	// carried are verdicts that the store has lost and whose effects are in the
	// state all the same.
	carried map[string]Entry

	mu      sync.Mutex
	waiting []*request
	news    news
	running bool
	later   *time.Timer   // another look at the store, after one that failed
	delay   time.Duration // of the last one; 0 once a look has succeeded
}

// request is a change that waits for its turn, and where its outcome goes.
type request struct {
	ctx       context.Context
	change    change
	functions Functions    // to be registered when a create succeeds
	joining   *observation // to begin at the position that is answered
	bindAgain func() (binding, error)
	refused   error // why it is not to be judged, if that is known
	done      func(outcome)
}

// answer hands out the outcome of a request.
func (s *shareData) answer(r *request, o outcome) {
	if r.joining != nil && o.err == nil {
		o.at = s.join(r.joining)
	}
	s.judging.Store(true)
	r.done(o)
	s.judging.Store(false)
}

func (s *shareData) fail(r *request, err error) { s.answer(r, outcome{err: err}) }

// run is the goroutine that changes the ShareData; there is one at a time.
func (s *shareData) run() {
	defer s.manager.running.Done()
	var functions worker
	defer functions.stop()
	for {
		batch, told, more := s.take()
		if !more {
			s.manager.rest(s)
			return
		}
		s.heed(told, len(batch) > 0)
		s.commit(batch, &functions)
	}
}

// take removes what waits from the queue, up to the size of a batch, and what
// the store has told. Where there is neither, it ends the run.
func (s *shareData) take() (batch []*request, told news, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told, s.news = s.news, news{}
	batch = s.waiting
	if limit := s.manager.options.MaxBatch; limit > 0 && len(batch) > limit {
		batch = slices.Clone(batch[:limit])
		s.waiting = slices.Delete(s.waiting, 0, limit)
		return batch, told, true
	}
	s.waiting = nil
	s.running = len(batch) > 0 || !told.isNothing()
	return batch, told, s.running
}

// commit is the way of a proposal:
//
//  1. take every change that waits (take did)
//  2. judge each on the state that the one before it left
//  3. number the entries and chain their hashes
//  4. append them where they were decided: the only point of commit
//     conflict: another process was first, or had a verdict on one of the
//     proposals before; learn that, then go back to 2
//  5. make the new state current and tell the observers, in order
//  6. answer the proposers
//
// Nobody is told of an entry before the store has taken it, neither by 5 nor
// by 6; and 5 comes before 6, so who has a verdict can see its effect.
func (s *shareData) commit(requests []*request, functions *worker) {
	a := attempts{limit: s.manager.options.StoreTimeout}
	for {
		if requests = s.drop(requests); len(requests) == 0 {
			return
		}
		a.begin()
		at, err := s.prepare(requests)
		if err != nil {
			s.failAll(requests, err)
			return
		}
		known := a.knownAt(at) // which may also forget what was looked for
		s.judging.Store(true)
		d := decide(at, changesOf(requests), circumstances{
			id: s.id, now: time.Now(), epoch: replay.NewEpoch(max(s.epoch, at.cursor.Epoch)),
			known: known, looked: a.looked, carried: s.carried, worker: functions,
		})
		s.judging.Store(false)
		if s.bindAgain(requests, d) {
			continue
		}
		if len(d.unsure) > 0 {
			if err := s.lookUp(&a, at, d.unsure); err != nil {
				s.failAll(requests, err)
				return
			}
			continue
		}
		answered := requests[:len(d.outcomes)]
		if len(d.entries) > 0 {
			err = s.append(at, &d, a.claim())
			if errors.Is(err, replay.ErrConflict) {
				if err = s.learn(&a, err); err == nil {
					continue
				}
			} else if err == nil {
				s.register(answered, d)
				s.publish(d.next, d.events)
			} else if s.settle(d) {
				err = nil
				s.register(answered, d)
			}
		}
		s.answerAll(answered, d, err)
		requests = requests[len(answered):]
	}
}

// drop turns away requests whose context has ended, and all of them once the
// manager is closed.
func (s *shareData) drop(requests []*request) []*request {
	return slices.DeleteFunc(requests, func(r *request) bool {
		err := s.manager.refuse(r.ctx)
		if err == nil {
			err = r.refused
		}
		if err != nil {
			s.fail(r, err)
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

// prepare returns where the history stands, as far as a decision needs to know:
// an append finds out by itself whether there is more.
func (s *shareData) prepare(requests []*request) (position, error) {
	at := s.current.Load()
	unaware := at == nil || !at.exists // it may exist by now
	fresh := slices.ContainsFunc(requests, func(r *request) bool {
		return r.change.strict || r.change.fresh && !s.followed.Load()
	})
	var err error
	switch {
	case at != nil && (s.stale || fresh):
		err = s.follow()
	case unaware:
		err = s.load()
	}
	if err != nil {
		return position{}, err
	}
	return *s.current.Load(), nil
}

// lookUp asks the store for the verdicts on the proposals by the keys.
func (s *shareData) lookUp(a *attempts, at position, keys []string) error {
	found, err := s.find(keys)
	if err != nil {
		return err
	}
	a.know(found, keys)
	for _, e := range found {
		if e.Cursor.Epoch > at.cursor.Epoch || e.Cursor.Epoch == at.cursor.Epoch && e.Cursor.Revision > at.cursor.Revision {
			// Another process has reached the verdict. It is told once its effect
			// can be seen here.
			return s.follow()
		}
	}
	return nil
}

// learn takes what a conflict says into account for the next attempt.
func (s *shareData) learn(a *attempts, err error) error {
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		conflict = &replay.ConflictError{}
	}
	if err := a.again(conflict.ReservedFor); err != nil || conflict.ReservedFor > 0 {
		return err
	}
	s.epoch = max(s.epoch, conflict.Head.Epoch)
	if len(conflict.Known) > 0 {
		known, err := s.entriesByKey(conflict.Known)
		a.know(known, nil)
		return err
	}
	if len(conflict.Missed) > 0 && s.extend(conflict.Missed) == nil {
		return nil
	}
	return s.follow()
}

// settle finds out what became of an append that failed. It returns true where
// the store has taken it all the same; the observers have been told then.
func (s *shareData) settle(d decision) bool {
	if s.follow() != nil {
		return false // the next change begins with another attempt
	}
	last := d.entries[len(d.entries)-1]
	at := s.current.Load()
	if at.cursor.Epoch != last.Cursor.Epoch || at.cursor.Revision <= last.Cursor.Revision {
		return at.hash == last.Hash
	}
	before := replay.Cursor{Epoch: last.Cursor.Epoch, Revision: last.Cursor.Revision - 1}
	page, err := s.read(before, 1)
	if err != nil || len(page) == 0 {
		return false
	}
	e, err := entryFrom(s.id, page[0])
	return err == nil && e.Hash == last.Hash
}

// find returns the entries by the keys.
func (s *shareData) find(keys []string) (map[string]Entry, error) {
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	found, err := s.manager.options.Store.Find(ctx, s.id, keys)
	if err != nil {
		return nil, s.storeError("find", err)
	}
	return s.entriesByKey(found)
}

func (s *shareData) entriesByKey(found []replay.Entry) (map[string]Entry, error) {
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
func (s *shareData) append(at position, d *decision, claim time.Duration) error {
	expected, err := at.metaOf()
	if err != nil {
		return err
	}
	if d.next.stored, err = d.next.metaOf(); err != nil {
		return err
	}
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	err = s.manager.options.Store.Append(ctx, s.id, replay.Batch{
		Expect: at.cursor, ExpectMeta: expected, Entries: d.records, NewKeys: true, Reserve: claim,
		Meta: d.next.stored, Remove: d.remove,
	})
	if err == nil || errors.Is(err, replay.ErrConflict) {
		return err
	}
	s.stale = true
	err = s.storeError("append", err)
	if failed, ok := errors.AsType[*StoreError](err); ok {
		failed.OutcomeUnknown = true
	}
	return err
}

// register makes the functions of what was created callable before anybody
// hears of it.
func (s *shareData) register(requests []*request, d decision) {
	for i, r := range requests {
		if r.change.kind == changeCreate && d.outcomes[i].err == nil {
			s.manager.setFunctions(s.id, registration{functions: r.functions, origin: d.outcomes[i].at.origin})
		}
	}
	if d.remove {
		s.manager.setFunctions(s.id, registration{})
		s.epoch = max(s.epoch, d.entries[0].Cursor.Epoch)
	}
}

// publish makes next current and tells the observers, in one ordered section.
func (s *shareData) publish(next position, events []Event) {
	s.handover.Lock()
	defer s.leave()
	if at := s.current.Load(); at != nil && at.origin != next.origin {
		s.carried = nil // they were of another ShareData by the same id
	}
	s.current.Store(&next)
	s.weigh(&next)
	if !next.exists {
		s.manager.forgetFunctions(s.id)
	}
	if len(events) == 0 {
		return
	}
	if s.unfollow != nil {
		s.recent.add(events)
	}
	s.telling.Store(true)
	defer s.telling.Store(false)
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
	s.followOrNot()
}

// answerAll hands out the outcomes. err is why the append failed, if it did.
func (s *shareData) answerAll(requests []*request, d decision, err error) {
	for i, r := range requests {
		o := d.outcomes[i]
		if err != nil && o.pending {
			o = outcome{err: err}
		}
		s.answer(r, o)
	}
}

// failAll fails the requests. Who only asks where the ShareData stands is told
// what is known of it.
func (s *shareData) failAll(requests []*request, err error) {
	at := s.current.Load()
	for _, r := range requests {
		if r.change.kind == changeNothing && !r.change.strict && at != nil && at.exists {
			s.answer(r, outcome{at: *at})
			continue
		}
		s.fail(r, err)
	}
}

func changesOf(requests []*request) []change {
	changes := make([]change, len(requests))
	for i, r := range requests {
		changes[i] = r.change
	}
	return changes
}
