package realtime

import (
	"container/heap"
	"sync"
	"time"

	"github.com/safe-go/safe/sharedata"
)

// expiries ends the sessions of one server when their callers expire. All
// sessions share one heap and one timer, which runs only while the heap is not
// empty. Its lock is a leaf; see channel.
type expiries struct {
	// track runs a function while Server.Close waits for it.
	track func(func())

	mu    sync.Mutex
	queue expiryQueue
	timer *time.Timer // nil until the first use
}

// expiryEntry is a session's place in the heap. It is guarded by expiries.mu.
type expiryEntry struct {
	session *session
	at      time.Time
	index   int // in the heap; -1 for not in it
}

// maxExpiryWait is the longest time between two readings of the wall clock: the
// timer follows the monotonic clock, and does not notice when the wall clock is
// set.
const maxExpiryWait = time.Minute

// set moves a session to the time at which it expires; the zero time removes it.
func (e *expiries) set(entry *expiryEntry, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	entry.at = at
	switch {
	case at.IsZero() && entry.index < 0:
		return
	case at.IsZero():
		heap.Remove(&e.queue, entry.index)
	case entry.index < 0:
		heap.Push(&e.queue, entry)
	default:
		heap.Fix(&e.queue, entry.index)
	}
	e.scheduleLocked()
}

// scheduleLocked has the timer fire when the first session expires.
func (e *expiries) scheduleLocked() {
	if len(e.queue) == 0 {
		if e.timer != nil {
			e.timer.Stop()
		}
		return
	}
	wait := min(max(e.queue[0].at.Sub(time.Now().Round(0)), 0), maxExpiryWait)
	if e.timer == nil {
		e.timer = time.AfterFunc(wait, func() { e.track(e.expire) })
		return
	}
	e.timer.Reset(wait)
}

// expire ends the sessions that have expired.
func (e *expiries) expire() {
	for _, session := range e.take(time.Now().Round(0)) {
		session.expire()
	}
}

// take removes the sessions that have expired from the heap.
func (e *expiries) take(now time.Time) (expired []*session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.queue) > 0 && !now.Before(e.queue[0].at) {
		expired = append(expired, heap.Pop(&e.queue).(*expiryEntry).session)
	}
	e.scheduleLocked()
	return expired
}

// expiryQueue is the heap: the session that expires first is at 0.
type expiryQueue []*expiryEntry

// Len implements sort.Interface.
func (q expiryQueue) Len() int { return len(q) }

// Less implements sort.Interface.
func (q expiryQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

// Swap implements sort.Interface.
func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *expiryQueue) Push(x any) {
	entry := x.(*expiryEntry)
	entry.index = len(*q)
	*q = append(*q, entry)
}

// Pop implements heap.Interface.
func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	entry := (*q)[last]
	entry.index = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return entry
}

// expiry is the time from which on a caller is not served; zero for one that may
// stay for ever. It is a reading of the wall clock alone, because a monotonic
// clock does not notice when that is set.
func (s *Server) expiry(caller *sharedata.Caller) time.Time {
	if caller == nil || caller.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return caller.ExpiresAt.Add(s.options.ExpiryLeeway).Round(0)
}

// isExpired reports whether a caller is not served any more.
func (s *Server) isExpired(caller *sharedata.Caller) bool {
	at := s.expiry(caller)
	return !at.IsZero() && !time.Now().Before(at)
}

// closeIfExpired ends the session if its caller has expired. It is called before what a
// caller must not do after that: the timer may be late, above all after the clock was
// set.
func (s *session) closeIfExpired() {
	if s.expires.Load() && s.server.isExpired(s.caller()) {
		s.expire()
	}
}

// expire ends the session if its caller has expired and was not renewed meanwhile.
func (s *session) expire() {
	s.mu.Lock()
	expired := s.server.isExpired(s.caller())
	if !expired && !s.closing { // renewed, or the clock was set back
		s.server.expiries.set(&s.expiryEntry, s.server.expiry(s.caller()))
	}
	s.mu.Unlock()
	if expired {
		s.closeUnauthorized(reasonExpired)
	}
}

// startExpiry has the session end when its caller expires.
func (s *session) startExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.server.expiries.set(&s.expiryEntry, s.server.expiry(s.caller()))
	}
}
