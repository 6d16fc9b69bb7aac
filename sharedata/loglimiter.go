package sharedata

import (
	"sync/atomic"
	"time"
)

// logInterval is the shortest time between two log records that a logLimiter
// allows.
const logInterval = time.Second

// logLimiter keeps the log readable where every proposal would log the same.
type logLimiter struct {
	last     atomic.Int64 // when the last record was allowed, in nanoseconds since 1970
	unlogged atomic.Int64 // how many were not allowed since
}

// allow reports whether a record is to be logged, and how many were not since the
// last one.
func (l *logLimiter) allow(now time.Time) (unlogged int64, ok bool) {
	last := l.last.Load()
	since := now.UnixNano() - last // negative if the clock was set back
	if 0 <= since && since < int64(logInterval) || !l.last.CompareAndSwap(last, now.UnixNano()) {
		l.unlogged.Add(1)
		return 0, false
	}
	return l.unlogged.Swap(0), true
}
