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

// What the interface leaves open, the suite must leave open too. These stores
// are sound, and unlike a Memory and a Process in what they may choose.

// passes runs all checks.
func passes(t *testing.T, harness Harness) {
	t.Helper()
	for _, check := range checks() {
		if r := record(t, check, harness); len(r.failures) > 0 {
			t.Errorf("%s: failures %.3q", check.name, r.failures)
		}
	}
}

// remembersEarlier makes a store find the newest entries also from before the
// history was started over, up to that many in all.
func remembersEarlier(s *faulty, m *replay.Memory, kept int) {
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

func TestAStoreMayFindKeysFromBeforeAStartOver(t *testing.T) {
	open := func(t testing.TB, entries int) replay.Store {
		m := mustMemory(t, &replay.MemoryOptions{MaxEntries: entries})
		s := &faulty{Memory: m}
		remembersEarlier(s, m, entries)
		return s
	}
	harness := harnessOf(fault{})
	harness.Open = func(t testing.TB) replay.Store { return open(t, 2000) }
	harness.OpenBounded = open
	passes(t, harness)
}

func TestAStoreNeedNotSayWhatWasMissed(t *testing.T) {
	passes(t, harnessOf(fault{store: func(s *faulty, m *replay.Memory) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := m.Append(ctx, id, batch)
			if conflict := conflictOf(err); conflict != nil {
				conflict.Missed = nil
			}
			return err
		}
	}}))
}

func TestAStoreMayTakeEmptyForNil(t *testing.T) {
	orEmpty := func(data []byte) []byte { return append([]byte{}, data...) }
	passes(t, harnessOf(fault{store: func(s *faulty, m *replay.Memory) {
		reads(s, m, func(entries []replay.Entry) []replay.Entry {
			for i := range entries {
				entries[i].Data, entries[i].State = orEmpty(entries[i].Data), orEmpty(entries[i].State)
			}
			return append([]replay.Entry{}, entries...)
		})
		s.onLoad = func(ctx context.Context, id string) (replay.Head, error) {
			head, err := m.Load(ctx, id)
			head.State, head.Meta = orEmpty(head.State), orEmpty(head.Meta)
			return head, err
		}
	}}))
}

func TestAFollowerMayBeToldNilOnly(t *testing.T) {
	harness := followingHarness(fault{following: func(l *tattler) {
		l.tells(func(_ string, _ []replay.Entry, tell func([]replay.Entry)) { tell(nil) })
	}})
	harness.Patience = 0
	passes(t, harness)
}

func TestAFollowerMayBeToldTwiceAndLateAndOutOfOrder(t *testing.T) {
	harness := followingHarness(fault{following: func(l *tattler) {
		l.onFollow = func(id string, tell func([]replay.Entry)) func() {
			late := &latecomer{tell: tell}
			stop := l.Process.Follow(id, late.told)
			stopped := make(chan struct{})
			l.wait.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						late.flush()
					case <-stopped:
						return
					case <-l.closed:
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

// latecomer tells the newest batches in the wrong order, and the one before
// them again.
type latecomer struct {
	tell func([]replay.Entry)
	mu   sync.Mutex // held while tell is called
	held [][]replay.Entry
}

// told holds a batch back until there are three, or nil is told.
func (l *latecomer) told(entries []replay.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entries != nil {
		l.held = append(l.held, entries)
	}
	if entries == nil || len(l.held) == 3 {
		l.flushLocked()
	}
	if entries == nil {
		l.tell(nil)
	}
}

func (l *latecomer) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
}

func (l *latecomer) flushLocked() {
	for _, batch := range slices.Backward(l.held) {
		l.tell(batch)
	}
	if len(l.held) > 0 {
		l.tell(l.held[0])
	}
	l.held = nil
}
