package sharedata

import "time"

func (s *shareData) storeError(operation string, err error) error {
	return s.manager.storeError(s.id, operation, err)
}

// storeError wraps an error of the store, and logs it; of many within a second, the
// first: while the store cannot be reached, every proposal fails.
func (m *Manager) storeError(id, operation string, err error) *StoreError {
	wrapped := &StoreError{ShareDataID: id, Operation: operation, Err: err}
	if unlogged, ok := m.storeFailures.allow(time.Now()); ok {
		m.options.Logger.Error("store failed", "shareData", id, "operation", operation, "error", wrapped, "unlogged", unlogged)
	}
	return wrapped
}

// withoutDoubt is the error of an append for those who wanted no change by it.
func withoutDoubt(err error) error {
	failed, ok := err.(*StoreError)
	if !ok || !failed.OutcomeUnknown {
		return err
	}
	known := *failed
	known.OutcomeUnknown = false
	return &known
}
