package realtime

import (
	"container/heap"
	"sync"
	"time"
)

// alarms calls methods of sessions at given times. All sessions share one heap and one
// timer, which runs only while the heap is not empty: a timer for each would cost a
// connection several times the memory. Its lock is a leaf; see channel.
type alarms struct {
	// ring is called for each alarm whose time has come, one after the other, while
	// Server.Close waits. It does not block.
	ring func(*alarm)
	// track runs a function while Server.Close waits for it.
	track func(func())
	// wall says that the times are readings of the wall clock alone.
	wall bool

	mu    sync.Mutex
	queue alarmQueue
	timer *time.Timer // nil until the first use
}

// alarm is a session's place in the heap. It is guarded by alarms.mu.
type alarm struct {
	session *session
	at      time.Time
	index   int32 // in the heap; -1 for not in it
	kind    alarmKind
}

// alarmKind is what an alarm is for.
type alarmKind uint8

const (
	alarmExpiry alarmKind = iota
	alarmHeartbeat
	alarmIdle
)

func newAlarm(s *session, kind alarmKind) alarm { return alarm{session: s, kind: kind, index: -1} }

// maxAlarmWait is the longest time between two readings of the wall clock: the
// timer follows the monotonic clock, and does not notice when the wall clock is
// set.
const maxAlarmWait = time.Minute

func (a *alarms) now() time.Time {
	if a.wall {
		return time.Now().Round(0)
	}
	return time.Now()
}

// set moves an alarm to a time; the zero time removes it.
func (a *alarms) set(entry *alarm, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	entry.at = at
	switch {
	case at.IsZero() && entry.index < 0:
		return
	case at.IsZero():
		heap.Remove(&a.queue, int(entry.index))
	case entry.index < 0:
		heap.Push(&a.queue, entry)
	default:
		heap.Fix(&a.queue, int(entry.index))
	}
	a.scheduleLocked()
}

// scheduleLocked has the timer fire at the time of the first alarm.
func (a *alarms) scheduleLocked() {
	if len(a.queue) == 0 {
		if a.timer != nil {
			a.timer.Stop()
		}
		return
	}
	wait := min(max(a.queue[0].at.Sub(a.now()), 0), maxAlarmWait)
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, func() { a.track(a.ringDue) })
		return
	}
	a.timer.Reset(wait)
}

// ringDue rings the alarms whose time has come.
func (a *alarms) ringDue() {
	for _, due := range a.take(a.now()) {
		a.ring(due)
	}
}

// take removes the alarms whose time has come from the heap.
func (a *alarms) take(now time.Time) (due []*alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && !now.Before(a.queue[0].at) {
		due = append(due, heap.Pop(&a.queue).(*alarm))
	}
	a.scheduleLocked()
	return due
}

// alarmQueue is the heap: the first alarm is at 0.
type alarmQueue []*alarm

// Len implements sort.Interface.
func (q alarmQueue) Len() int { return len(q) }

// Less implements sort.Interface.
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

// Swap implements sort.Interface.
func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = int32(i), int32(j)
}

// Push implements heap.Interface.
func (q *alarmQueue) Push(x any) {
	entry := x.(*alarm)
	entry.index = int32(len(*q))
	*q = append(*q, entry)
}

// Pop implements heap.Interface.
func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	entry := (*q)[last]
	entry.index = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return entry
}

// ring is called when the time of one of the session's alarms has come.
func (s *session) ring(kind alarmKind) {
	defer s.server.recoverIn(s)
	switch kind {
	case alarmExpiry:
		s.expire()
	case alarmHeartbeat:
		s.beat()
	case alarmIdle:
		s.checkIdle()
	}
}
