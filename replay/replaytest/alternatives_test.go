package replaytest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/replay"
)

// The suite must accept what the interface leaves open. These stores are correct,
// and choose otherwise than a Memory and a sharedstore.Process.

// passes runs all checks.
func passes(t *testing.T, harness Harness) {
	t.Helper()
	for _, check := range checks() {
		if r := record(t, check, harness); len(r.failures) > 0 {
			t.Errorf("%s: failures %.3q", check.name, r.failures)
		}
	}
}

// remembersEarlier makes a store find the newest entries also from before a
// restart, up to that many in all.
func remembersEarlier(s *faulty, kept int) {
	m := s.Memory
	var mu sync.Mutex
	ever := make(map[string][]replay.Entry) // since the last removal
	find := func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
		found, err := m.Find(ctx, id, keys)
		if err != nil {
			return nil, err
		}
		entries := ever[id]
		for _, entry := range slices.Backward(entries[max(0, len(entries)-kept):]) {
			if entry.Key != "" && slices.Contains(keys, entry.Key) && len(carriers(found, entry.Key)) == 0 {
				found = append(found, entry)
			}
		}
		return found, nil
	}
	s.onFind = func(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
		mu.Lock()
		defer mu.Unlock()
		return find(ctx, id, keys)
	}
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		head, err := m.Load(ctx, id)
		asExpected := batch.ExpectMeta == nil || bytes.Equal(batch.ExpectMeta, head.Meta)
		if err == nil && batch.NewKeys && batch.Validate() == nil && head.Cursor == batch.Expect && asExpected {
			if known, _ := find(ctx, id, keysOf(batch.Entries)); len(known) > 0 {
				return &replay.ConflictError{ID: id, Expected: batch.Expect, Head: head.Cursor, Reason: replay.ConflictKnownKeys, Known: known}
			}
		}
		err = m.Append(ctx, id, batch)
		switch {
		case err == nil && batch.Remove:
			delete(ever, id)
		case err == nil:
			ever[id] = append(ever[id], batch.Entries...)
		}
		return err
	}
}

func TestStoreMay_FindEarlierKeys(t *testing.T) {
	open := func(t testing.TB, entries int) replay.Store {
		return newFaulty(t, &replay.MemoryOptions{MaxEntries: entries}, func(s *faulty) { remembersEarlier(s, entries) })
	}
	harness := harnessOf(fault{})
	harness.Open = func(t testing.TB) replay.Store { return open(t, 2000) }
	harness.OpenBounded = open
	passes(t, harness)
}

func TestStoreMay_OmitMissed(t *testing.T) {
	passes(t, harnessOf(fault{store: refuses(func(_ *faulty, _ replay.Batch, conflict *replay.ConflictError) error {
		conflict.Missed = nil
		return conflict
	})}))
}

func TestStoreMay_ReturnEmptyForNil(t *testing.T) {
	orEmpty := func(data []byte) []byte { return append([]byte{}, data...) }
	passes(t, harnessOf(fault{store: func(s *faulty) {
		reads(func(entries []replay.Entry) []replay.Entry {
			for i := range entries {
				entries[i].Data, entries[i].State = orEmpty(entries[i].Data), orEmpty(entries[i].State)
			}
			return append([]replay.Entry{}, entries...)
		})(s)
		loads(func(_ *faulty, _ string, head *replay.Head) {
			head.State, head.Meta = orEmpty(head.State), orEmpty(head.Meta)
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
