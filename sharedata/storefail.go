package sharedata

import (
	"sync/atomic"
	"time"
)

func (s *shareData) storeError(operation string, err error) error {
	return s.manager.storeError(s.id, operation, err)
}

func (m *Manager) storeError(id, operation string, err error) error {
	err = &StoreError{ShareDataID: id, Operation: operation, Err: err}
	if silent, ok := m.complaints.due(time.Now()); ok {
		m.options.Logger.Error("store failed", "shareData", id, "operation", operation, "error", err, "unlogged", silent)
	}
	return err
}

// complaintInterval is the shortest time between two records in the log of how
// the store fails: while it is out of reach, every proposal does.
const complaintInterval = time.Second

// complaints keeps the log readable while the store fails.
type complaints struct {
	last   atomic.Int64 // when the last was made, in nanoseconds since 1970
	silent atomic.Int64 // how many were not made since
}

// due reports whether a complaint is to be made, and how many were not made
// since the last.
func (c *complaints) due(now time.Time) (silent int64, ok bool) {
	last := c.last.Load()
	if now.UnixNano()-last < int64(complaintInterval) || !c.last.CompareAndSwap(last, now.UnixNano()) {
		c.silent.Add(1)
		return 0, false
	}
	return c.silent.Swap(0), true
}
