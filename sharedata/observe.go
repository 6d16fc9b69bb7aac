package sharedata

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

// Event is one entry of a history as it is committed.
type Event struct {
	Entry
	// State is the state after the entry, also where the entry did not change
	// it; nil after a removal.
	State json.RawMessage
	// Reset says that the history did not continue where it had been: the
	// store lost or replaced a part of it, and what lies between is not known.
	// ShareDataID, Cursor and State are the new snapshot's; Type is EntryRemoved
	// if there is none, and empty otherwise.
	Reset bool
}

// Observer is told what is committed. A manager calls it inside the section
// that orders a ShareData's commits: in the order of revisions, every event
// once, one call at a time for each ShareData but from several goroutines for
// several. It must not block, must not change events, which it shares with
// others, and must not call Observe for the same ShareData; Get and the stop
// function may be called. A panic is logged and goes no further.
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
	stopped  atomic.Bool
	manager  *Manager
}

func (o *observation) tell(events []Event) {
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
// which it joined: it is told of every entry after that, and of no other. The
// last one is the removal, which ends the observation.
//
// stop ends it earlier. It may be called at any time from anywhere, never
// blocks, and a call of the observer that is under way may end after it.
func (m *Manager) Observe(ctx context.Context, id string, observer Observer) (snapshot Snapshot, stop func(), err error) {
	for {
		at, err := m.look(ctx, id)
		if err != nil {
			return Snapshot{}, nil, err
		}
		if !at.exists {
			return Snapshot{}, nil, unknown(id)
		}
		if s := m.loaded(id); s != nil {
			if snapshot, stop := s.observe(observer); stop != nil {
				return snapshot, stop, nil
			}
		}
		// It was removed since it was looked at; look again.
	}
}

// observe joins the observer; stop is nil if there is nothing to observe.
func (s *shareData) observe(observer Observer) (snapshot Snapshot, stop func()) {
	s.handover.Lock()
	defer s.handover.Unlock()
	at := s.current.Load()
	if at == nil || !at.exists {
		return Snapshot{}, nil
	}
	o := &observation{observer: observer, manager: s.manager}
	s.observers = append(slices.DeleteFunc(s.observers, isStopped), o)
	return at.snapshot(s.id), func() {
		o.stopped.Store(true)
		// Whoever holds the lock forgets the observer later.
		if s.handover.TryLock() {
			s.observers = slices.DeleteFunc(s.observers, isStopped)
			s.handover.Unlock()
		}
	}
}

func isStopped(o *observation) bool { return o.stopped.Load() }

// ObserveAll registers an observer for every ShareData, also those that do not
// exist yet, from the next commit of each on. stop is that of Observe.
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

// everywhere returns the observers of every ShareData. The slice is never
// changed.
func (m *Manager) everywhere() []*observation {
	m.observersMu.Lock()
	defer m.observersMu.Unlock()
	return m.observers
}
