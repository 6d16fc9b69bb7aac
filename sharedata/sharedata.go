package sharedata

import (
	"sync"
	"sync/atomic"
)

// shareData is one loaded ShareData. It has a goroutine only while something
// waits in its queue.
//
// Lock order: shareData.handover, Manager.mu, requestQueue.mu. Locks that are not
// named here are leaves. Code that holds Manager.mu may try handover, but not wait
// for it. Observers are called with handover held; what they lock comes after it.
type shareData struct {
	manager *Manager
	id      string

	// queue holds the changes that wait and the notifications of the store.
	queue requestQueue
	// committer belongs to the goroutine that runs for the queue.
	committer committer

	// handover makes the change of current and the calls of the observers one
	// ordered section: its holder sees a position, and no observer that was
	// notified of later entries.
	handover  sync.Mutex
	observers []*observation
	unfollow  func()        // ends the store's notifications; nil while there are none
	recent    recentEntries // of a followed history; has a lock of its own
	size      int64         // what is counted for this ShareData in Manager.loadedBytes
	evicted   bool          // the manager does not have this ShareData any more
	// current is written with handover held and read by everybody. It is nil
	// until the history was loaded.
	current atomic.Pointer[position]
	// observed is written with handover held: there are observers, and if other
	// processes append to the store, it notifies this one.
	observed atomic.Bool
	// departed says that an observation has ended that is still in observers.
	departed atomic.Bool

	// calling says which code of the application the goroutine calls at the moment.
	calling atomic.Int32
	// lastUse is Manager.clock at the last use.
	lastUse atomic.Uint64
}

// What the goroutine of a ShareData may be calling. Methods that such code may use
// must not wait for that goroutine.
const (
	callingNothing int32 = iota
	// callingFunctions: functions, resolvers, or the done of Submit.
	callingFunctions
	// callingObservers: observers, for which current is the newest position there
	// is.
	callingObservers
)

// isFollowed reports whether the store notifies this process of what others
// append.
func (s *shareData) isFollowed() bool { return s.manager.follower != nil && s.observed.Load() }

// run commits what waits until nothing does. One goroutine at a time runs it. It
// returns false if the goroutine was replaced by another one, because a function
// overran its deadline.
func (s *shareData) run(w *worker) bool {
	for {
		notified, more := s.queue.take(len(s.committer.requests) > 0)
		if !more {
			s.manager.onIdle(s)
			return true
		}
		s.applyNotifications(notified)
		if !s.committer.commit(w) {
			return false
		}
	}
}

// startLocked has a goroutine run for the ShareData unless one does. It is called with
// Manager.mu and requestQueue.mu held, so that none is started after Close.
func (s *shareData) startLocked() {
	if !s.queue.running {
		s.queue.running = true
		s.manager.workers.start(s)
	}
}
