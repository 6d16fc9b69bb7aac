package sharedata

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/safe-go/safe/replay"
)

// Event is one entry of a history as it is committed.
type Event struct {
	Entry
	// State is the state after the entry, also where the entry did not change
	// it; nil after a removal.
	State json.RawMessage
	// Reset says that entries between the last event and this one are lost or not
	// known. ShareDataID, Cursor and State are those of a new snapshot; Type is
	// EntryRemoved if there is none, and empty otherwise.
	Reset bool
	// LastTransaction is the position of the newest transaction up to a Reset;
	// zero for none, and for events that are no Reset.
	LastTransaction replay.Cursor
}

// Observer is notified of what is committed. A manager calls it inside the section
// that orders a ShareData's commits: with every event once, in the order of
// revisions. Calls for one ShareData never overlap; calls for different ShareData
// may run at the same time. It must not block, must not change events, which it shares with
// others, and must not wait for anything about the same ShareData: Observe,
// Propose and other changes. Get and the stop function may be called. A panic is logged and goes no further.
type Observer interface {
	// Observe is given the entries of one commit.
	Observe(events []Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(events []Event)

// Observe calls f.
func (f ObserverFunc) Observe(events []Event) { f(events) }

// observation is an observer that was registered.
type observation struct {
	observer Observer
	manager  *Manager
	stopped  atomic.Bool
	joined   atomic.Pointer[shareData] // whose observers it is among, or was
}

// stop ends the observation, also if it has not begun yet.
func (o *observation) stop() {
	o.stopped.Store(true)
	if s := o.joined.Load(); s != nil {
		s.departed.Store(true)
		s.removeStopped()
	}
}

func (o *observation) notify(events []Event) {
	if o.stopped.Load() {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			o.manager.options.Logger.Error("observer panicked", "shareData", events[0].ShareDataID, "panic", value, "stack", string(debug.Stack()))
		}
	}()
	o.observer.Observe(events)
}

// Observe registers an observer for one ShareData and returns the snapshot at
// which the observation begins: the observer gets every entry after that, and no
// other, unless a Reset says that some are missing. The last one is the removal, which ends the observation.
//
// stop ends it earlier. It may be called at any time from anywhere, never
// blocks, and a call of the observer that is under way may end after it.
func (m *Manager) Observe(ctx context.Context, id string, observer Observer) (snapshot Snapshot, stop func(), err error) {
	o := &observation{observer: observer, manager: m}
	if s := m.loaded(id); s != nil && (m.follower == nil || s.isFollowed()) {
		if at := s.join(o); at.exists {
			return at.snapshot(id), o.stop, nil
		}
	}
	// The committer adds the observation, because the ShareData could be evicted
	// before this goroutine does.
	joined, err := m.do(ctx, id, &request{change: change{kind: changeNothing, fresh: true}, observation: o})
	if err == nil && !joined.at.exists {
		err = unknown(id)
	}
	if err != nil {
		o.stop()
		return Snapshot{}, nil, err
	}
	return joined.at.snapshot(id), o.stop, nil
}

// join adds an observation, and returns the position at which it begins; where
// there is nothing to observe, one that does not exist.
func (s *shareData) join(o *observation) position {
	s.handover.Lock()
	defer s.unlockHandover()
	at := s.current.Load()
	if at == nil || !at.exists || s.evicted || s.manager.closed.Load() {
		return position{}
	}
	s.observers = append(slices.DeleteFunc(s.observers, isStopped), o)
	o.joined.Store(s)
	if o.stopped.Load() { // before joined was set
		s.departed.Store(true)
	}
	s.followIfObserved()
	return *at
}

// publish makes next current and notifies the observers, in one ordered section.
func (s *shareData) publish(next position, events []Event) {
	s.handover.Lock()
	defer s.unlockHandover()
	if at := s.current.Load(); at != nil && at.origin != next.origin {
		s.committer.known.lost = nil // the verdicts were on another ShareData by this id
	}
	next.since = time.Now()
	if at := s.current.Load(); at != nil && at.exists && at.cursor == next.cursor && at.hash == next.hash {
		next.since = at.since
	}
	if s.unfollow != nil && len(events) > 0 {
		s.recent.add(events) // first, so that what is current is always known there
	}
	s.current.Store(&next)
	s.account(&next)
	if !next.exists {
		s.manager.forgetFunctions(s.id)
	}
	if len(events) == 0 {
		return
	}
	s.notifyObservers(events)
	if !next.exists {
		s.observers = nil // a removal is the last event
	}
	s.followIfObserved()
}

// notifyObservers calls the observers. It is called with handover held.
func (s *shareData) notifyObservers(events []Event) {
	s.calling.Store(callingObservers)
	defer s.calling.Store(callingNothing)
	s.observers = slices.DeleteFunc(s.observers, isStopped)
	for _, o := range s.observers {
		o.notify(events)
	}
	for _, o := range s.manager.globalObservers() {
		o.notify(events)
	}
}

// unlockHandover unlocks handover.
func (s *shareData) unlockHandover() {
	s.handover.Unlock()
	s.removeStopped()
}

// removeStopped removes the observations that have ended. It never waits: if
// handover is locked, unlockHandover removes them.
func (s *shareData) removeStopped() {
	for s.departed.Load() && s.handover.TryLock() {
		s.departed.Store(false)
		s.observers = slices.DeleteFunc(s.observers, isStopped)
		s.followIfObserved()
		s.handover.Unlock()
	}
}

func isStopped(o *observation) bool { return o.stopped.Load() }

// ObserveAll registers an observer for every ShareData, also those that do not exist
// yet. It is notified of what this manager commits from now on, and of what other
// processes commit as far as this one learns of it: of everything for ShareData that
// are observed here with Observe. stop is that of
// Observe.
func (m *Manager) ObserveAll(observer Observer) (stop func()) {
	o := &observation{observer: observer, manager: m}
	m.observersMu.Lock()
	defer m.observersMu.Unlock()
	m.observers = append(slices.Clone(m.observers), o)
	return func() {
		o.stopped.Store(true)
		m.observersMu.Lock()
		defer m.observersMu.Unlock()
		m.observers = slices.DeleteFunc(slices.Clone(m.observers), func(other *observation) bool { return other == o })
	}
}

// globalObservers returns the observers of every ShareData. The slice is never
// changed.
func (m *Manager) globalObservers() []*observation {
	m.observersMu.Lock()
	defer m.observersMu.Unlock()
	return m.observers
}
