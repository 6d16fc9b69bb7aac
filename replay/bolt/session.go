package bolt

import (
	"log/slog"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// maxSessionBytes bounds what a session holds in memory.
const maxSessionBytes = 32 << 20

// session is the writing of batches. With SyncInterval, its transaction stays
// open for that long and has what was acknowledged meanwhile. Everybody sees
// the file through it then, one after another.
type session struct {
	// mu is held while batches are written and committed, and while tx is used.
	mu sync.Mutex
	// tx is open where something acknowledged is not committed yet; else nil.
	tx *bbolt.Tx
	// batches and bytes are what was acknowledged in it.
	batches, bytes int
	// flushing says that a goroutine is there that will flush.
	flushing bool
	// careful says that the last commit failed. Until one succeeds, nothing is
	// acknowledged that is not committed.
	careful bool
}

// viewSession calls do with what the session has, if it has anything.
func (s *Store) viewSession(do func(reading) error) (done bool, err error) {
	if s.interval == 0 {
		return false, nil
	}
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	if s.session.tx == nil {
		return false, nil
	}
	return true, guarded(func() error { return do(s.reading(s.session.tx)) })
}

// postpone keeps a transaction for the session, with a group that was written
// to it, if the group may be acknowledged before it is committed. The caller
// holds session.mu.
func (s *Store) postpone(tx *bbolt.Tx, group []*appending) bool {
	if s.interval == 0 || s.session.careful {
		return false
	}
	batches, bytes := s.session.batches, s.session.bytes
	for _, a := range group {
		if a.err == nil {
			batches++
			bytes += a.bytes
		}
	}
	if bytes > maxSessionBytes {
		return false
	}
	s.session.tx, s.session.batches, s.session.bytes = tx, batches, bytes
	if !s.session.flushing {
		s.session.flushing = true
		s.goroutines.Go(s.flushLater)
	}
	return true
}

// flushLater flushes after the interval.
func (s *Store) flushLater() {
	timer := time.NewTimer(s.interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.closing: // and Close flushes
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	s.session.flushing = false
	_ = s.flushLocked() // the logger was told
}

// flush commits what the session has.
func (s *Store) flush() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	return s.flushLocked()
}

func (s *Store) flushLocked() error {
	if s.session.tx == nil {
		return nil
	}
	return s.commit(s.session.tx)
}

// forsake gives up what the session has.
func (s *Store) forsake() {
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	if s.session.tx != nil {
		s.database.abandon(s.session.tx)
		s.lost(errUnsettled)
	}
}

// lost notes that what the session had is not in the file. The caller holds
// session.mu.
func (s *Store) lost(cause error) {
	if s.session.tx == nil {
		return
	}
	s.logger.Error("bolt: acknowledged batches were lost, as SyncInterval allows",
		slog.String("file", s.path), slog.Int("batches", s.session.batches), slog.Any("error", cause))
	s.session.clear()
}

func (s *session) clear() { s.tx, s.batches, s.bytes = nil, 0, 0 }
