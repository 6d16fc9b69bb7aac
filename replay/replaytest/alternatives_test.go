package replaytest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// The suite must accept what the interface leaves open. These stores are correct,
// and choose otherwise than a Memory and a sharedstore.Process. Stores that find
// keys from before a restart, or return nothing that was missed, are in replay/bolt
// and replay/redis, which run the suite.

// passes runs all checks.
func passes(t *testing.T, harness Harness) {
	t.Helper()
	for _, check := range checks() {
		if r := record(t, check, harness); len(r.failures) > 0 {
			t.Errorf("%s: failures %.3q", check.name, r.failures)
		}
	}
}

func TestStoreMay_ReturnEmptyForNil(t *testing.T) {
	orEmpty := func(data []byte) []byte { return append([]byte{}, data...) }
	passes(t, harnessOf(fault{store: func(s *faulty) {
		reads(func(entries []replay.Entry) []replay.Entry {
			for i := range entries {
				entries[i].Data = orEmpty(entries[i].Data)
			}
			return append([]replay.Entry{}, entries...)
		})(s)
		loads(func(_ *faulty, _ string, head *replay.Head) {
			head.Snapshot, head.Meta = orEmpty(head.Snapshot), orEmpty(head.Meta)
		})(s)
	}}))
}

func TestFollowerMay_NotifyNilOnly(t *testing.T) {
	harness := followingHarness(fault{follower: notifies(func(_ []replay.Entry, notify func([]replay.Entry)) { notify(nil) })})
	harness.Patience = 0
	passes(t, harness)
}

func TestFollowerMay_NotifyOutOfOrder(t *testing.T) {
	harness := followingHarness(fault{follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			late := &outOfOrder{notify: notify}
			stop := s.Process.Follow(id, late.add)
			stopped := make(chan struct{})
			s.wait.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						late.flush()
					case <-stopped:
						return
					case <-s.closed:
						return
					}
				}
			})
			return sync.OnceFunc(func() {
				stop()
				close(stopped)
			})
		}
	}})
	harness.Patience = 0
	passes(t, harness)
}

// outOfOrder notifies of the newest batches in the wrong order, and of the oldest
// of them twice.
type outOfOrder struct {
	notify func([]replay.Entry)
	mu     sync.Mutex // held while notify is called
	held   [][]replay.Entry
}

// add holds a batch back until there are three, or until nil comes.
func (l *outOfOrder) add(entries []replay.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entries != nil {
		l.held = append(l.held, entries)
	}
	if entries == nil || len(l.held) == 3 {
		l.flushLocked()
	}
	if entries == nil {
		l.notify(nil)
	}
}

func (l *outOfOrder) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
}

func (l *outOfOrder) flushLocked() {
	for _, batch := range slices.Backward(l.held) {
		l.notify(batch)
	}
	if len(l.held) > 0 {
		l.notify(l.held[0])
	}
	l.held = nil
}
