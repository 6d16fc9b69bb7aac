package replaytest

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
)

// faultyFollower is a sharedstore.Process of which some methods are replaced.
type faultyFollower struct {
	*sharedstore.Process
	medium   *sharedstore.Medium
	onLoad   func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error)
	onAppend func(ctx context.Context, id string, batch replay.Batch) error
	onFollow func(id string, notify func([]replay.Entry)) (stop func())
	onClose  func() error
	closed   chan struct{} // for faults that must end with the test
	close    func()
	wait     sync.WaitGroup // for what the faults start
}

func newFaultyFollower(medium *sharedstore.Medium, plant func(s *faultyFollower)) *faultyFollower {
	p := medium.Process()
	s := &faultyFollower{Process: p, medium: medium, onLoad: p.Load, onAppend: p.Append, onFollow: p.Follow, closed: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closed) })
	s.onClose = func() error {
		s.close()
		defer s.wait.Wait()
		return p.Close()
	}
	if plant != nil {
		plant(s)
	}
	return s
}

func (s *faultyFollower) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	return s.onLoad(ctx, id, have)
}

func (s *faultyFollower) Append(ctx context.Context, id string, batch replay.Batch) error {
	return s.onAppend(ctx, id, batch)
}

func (s *faultyFollower) Follow(id string, notify func([]replay.Entry)) (stop func()) {
	return s.onFollow(id, notify)
}

func (s *faultyFollower) Close() error { return s.onClose() }

// followingHarness returns a harness of processes with a fault.
func followingHarness(f fault) Harness {
	harness := Harness{
		Open: func(t testing.TB) replay.Store {
			s := newFaultyFollower(sharedstore.New(), f.follower)
			t.Cleanup(func() { // also if the fault is that Close does not
				s.close()
				s.Process.Close()
				s.wait.Wait()
			})
			return s
		},
		Second: func(_ testing.TB, store replay.Store) replay.Store {
			return newFaultyFollower(store.(*faultyFollower).medium, f.follower)
		},
		Lose: func(_ testing.TB, store replay.Store, id string) {
			store.(*faultyFollower).medium.Rollback(id, replay.Cursor{})
		},
		Seed: 1,
	}
	if f.follower != nil {
		harness.Patience = 100 * time.Millisecond
	}
	return harness
}

// notifies changes how followers are notified.
func notifies(change func(entries []replay.Entry, notify func([]replay.Entry))) func(*faultyFollower) {
	return func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) (stop func()) {
			return s.Process.Follow(id, func(entries []replay.Entry) { change(entries, notify) })
		}
	}
}

// notifiesIf drops the notifications for which keep is false.
func notifiesIf(keep func(entries []replay.Entry) bool) func(*faultyFollower) {
	return notifies(func(entries []replay.Entry, notify func([]replay.Entry)) {
		if keep(entries) {
			notify(entries)
		}
	})
}

// notifiesChanged changes entries before followers are notified of them.
func notifiesChanged(change func(*replay.Entry)) func(*faultyFollower) {
	return notifies(func(entries []replay.Entry, notify func([]replay.Entry)) {
		entries = slices.Clone(entries)
		for i := range entries {
			change(&entries[i])
		}
		notify(entries)
	})
}

// reserves changes the reservations that batches ask for.
func reserves(reserve time.Duration) func(*faultyFollower) {
	return func(s *faultyFollower) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			batch.Reserve = reserve
			return s.Process.Append(ctx, id, batch)
		}
	}
}

// loadsInstead returns another error where Load fails with one.
func loadsInstead(of, instead error) func(*faultyFollower) {
	return func(s *faultyFollower) {
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := s.Process.Load(ctx, id, have)
			if errors.Is(err, of) {
				err = instead
			}
			return head, err
		}
	}
}

// faultsOfFollower are faults of a Follower and of reservations.
var faultsOfFollower = []fault{
	{name: "grants no reservations", follower: reserves(0), caught: []string{"a reservation excludes others"}},
	{name: "reserves for every batch", follower: reserves(time.Second), caught: []string{"a reservation ends with the next append"}},
	{name: "prolongs reservations", follower: func(s *faultyFollower) {
		var reserved atomic.Pointer[replay.ConflictError]
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			if refusal := reserved.Load(); refusal != nil && refusal.Expected == batch.Expect {
				return refusal
			}
			err := s.Process.Append(ctx, id, batch)
			if conflict := conflictOf(err); conflict != nil && conflict.Reason == replay.ConflictReserved {
				reserved.Store(conflict)
			}
			return err
		}
	}, caught: []string{"a reservation expires"}},
	{name: "checks reservations first", follower: func(s *faultyFollower) {
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			plain := follow(batch.Expect, batch.Entries...)
			if conflict := conflictOf(s.Process.Append(ctx, id, plain)); conflict != nil && conflict.Reason == replay.ConflictReserved {
				return conflict
			}
			return s.Process.Append(ctx, id, batch)
		}
	}, caught: []string{"a reservation excludes others"}},

	{name: "never notifies with nil", follower: notifiesIf(func(entries []replay.Entry) bool { return entries != nil }),
		caught: []string{"followers are notified of the start and of every append"}},
	{name: "notifies of no entries instead of nil", follower: notifies(func(entries []replay.Entry, notify func([]replay.Entry)) {
		notify(append([]replay.Entry{}, entries...))
	}), caught: []string{"followers are notified of the start and of every append"}},
	{name: "notifies of its own batches only", follower: func(s *faultyFollower) {
		var own sync.Map
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			own.Store(firstOf(batch), true)
			return s.Process.Append(ctx, id, batch)
		}
		notifiesIf(func(entries []replay.Entry) bool {
			_, found := own.Load(firstOf(replay.Batch{Entries: entries}))
			return found || entries == nil
		})(s)
	}, caught: []string{"followers are notified of the start and of every append", "followers get any contents", "followers see starts, restarts and removals",
		"followers see their own history only", "nothing waits for notify", "many follow at once"}},
	{name: "loses every third notification", follower: func(s *faultyFollower) {
		var n atomic.Int64
		notifiesIf(func(entries []replay.Entry) bool { return entries == nil || n.Add(1)%3 != 0 })(s)
	}, caught: []string{"followers are notified of the start and of every append", "followers see their own history only"}},
	{name: "notifies of the first entry of each batch", follower: notifies(func(entries []replay.Entry, notify func([]replay.Entry)) {
		notify(entries[:min(1, len(entries)):min(1, len(entries))])
	}), caught: []string{"followers are notified of the start and of every append", "many follow at once"}},
	{name: "notifies of entries without their keys", follower: notifiesChanged(func(e *replay.Entry) { e.Key = "" }),
		caught: []string{"followers are notified of the start and of every append"}},
	{name: "notifies of valid UTF-8 only", follower: notifiesChanged(func(e *replay.Entry) { e.Data = bytes.ToValidUTF8(e.Data, nil) }),
		caught: []string{"followers get any contents"}},
	{name: "does not notify of long batches", follower: notifiesIf(func(entries []replay.Entry) bool { return len(entries) < 100 }),
		caught: []string{"followers get any contents"}},
	{name: "does not notify of batches with large snapshots", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			return s.Process.Follow(id, func(entries []replay.Entry) {
				head, _ := s.Process.Load(context.Background(), id, replay.Cursor{})
				if len(head.Snapshot) > 1<<16 {
					entries = nil
				}
				notify(entries)
			})
		}
	}, caught: []string{"a small change to a large state is announced whole"}},
	{name: "does not notify of removals", follower: notifiesIf(func(entries []replay.Entry) bool {
		return len(entries) == 0 || string(entries[len(entries)-1].Data) != "the end"
	}), caught: []string{"followers see starts, restarts and removals"}},
	{name: "does not notify of starts and restarts", follower: notifiesIf(func(entries []replay.Entry) bool {
		return entries == nil || entries[0].Cursor.Revision > 1
	}), caught: []string{"followers see starts, restarts and removals"}},
	{name: "takes ids for patterns", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			stops := []func(){s.Process.Follow(id, notify)}
			for _, name := range texts() {
				if matches, _ := path.Match(id, name); matches && name != id {
					stops = append(stops, s.Process.Follow(name, notify))
				}
			}
			return func() {
				for _, stop := range stops {
					stop()
				}
			}
		}
	}, caught: []string{"followers see their own history only"}},
	{name: "notifies after stop", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			s.Process.Follow(id, notify)
			return func() {}
		}
	}, caught: []string{"stop ends the notifications"}},
	{name: "stops all that follow an id", follower: func(s *faultyFollower) {
		var mu sync.Mutex
		stops := make(map[string][]func())
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			mu.Lock()
			defer mu.Unlock()
			stops[id] = append(stops[id], s.Process.Follow(id, notify))
			return func() {
				mu.Lock()
				defer mu.Unlock()
				for _, stop := range stops[id] {
					stop()
				}
				stops[id] = nil
			}
		}
	}, caught: []string{"stop ends the notifications", "many follow at once"}},
	{name: "has one follower for each id", follower: func(s *faultyFollower) {
		var mu sync.Mutex
		stops := make(map[string]func())
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			mu.Lock()
			defer mu.Unlock()
			if stop := stops[id]; stop != nil {
				stop()
			}
			stops[id] = s.Process.Follow(id, notify)
			return stops[id]
		}
	}, caught: []string{"followers are notified of the start and of every append", "many follow at once", "stop ends the notifications"}},
	{name: "notifies before Follow returns", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			notified := make(chan struct{})
			stop := s.Process.Follow(id, notify)
			s.wait.Go(func() {
				defer close(notified)
				notify(nil)
			})
			select {
			case <-notified:
			case <-s.closed:
			}
			return stop
		}
	}, caught: []string{"nothing waits for notify"}},
	{name: "waits in stop until notify has returned", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			var mu sync.Mutex
			active := make(chan struct{})
			close(active)
			stop := s.Process.Follow(id, func(entries []replay.Entry) {
				done := make(chan struct{})
				defer close(done)
				mu.Lock()
				active = done
				mu.Unlock()
				notify(entries)
			})
			return func() {
				stop()
				mu.Lock()
				done := active
				mu.Unlock()
				select {
				case <-done:
				case <-s.closed:
				}
			}
		}
	}, caught: []string{"nothing waits for notify"}},
	{name: "notifies by several goroutines", follower: func(s *faultyFollower) {
		notifies(func(entries []replay.Entry, notify func([]replay.Entry)) {
			for range 4 {
				s.wait.Go(func() { notify(entries) })
			}
		})(s)
	}, caught: []string{"followers are notified of the start and of every append"}},
	{name: "notifies after Close", follower: func(s *faultyFollower) {
		s.onClose = func() error { return nil }
	}, caught: []string{"close ends the notifications"}},
	{name: "keeps a goroutine for each follower after Close", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			stopped := make(chan struct{})
			stop := s.Process.Follow(id, notify)
			go func() { <-stopped }()
			return sync.OnceFunc(func() {
				close(stopped)
				stop()
			})
		}
	}, caught: []string{"close ends the notifications"}},

	{name: "does not find a lost history", follower: loadsInstead(replay.ErrUnavailable, replay.ErrNotFound),
		caught: []string{"a lost history is unavailable while followed"}},
	{name: "does not notify of a lost history", follower: func(s *faultyFollower) {
		s.onFollow = func(id string, notify func([]replay.Entry)) func() {
			once := false
			return s.Process.Follow(id, func(entries []replay.Entry) {
				if entries != nil || !once {
					notify(entries)
				}
				once = true
			})
		}
	}, caught: []string{"a lost history is unavailable while followed"}},
	{name: "takes what does not exist for lost", follower: loadsInstead(replay.ErrNotFound, replay.ErrUnavailable),
		caught: []string{"a lost history is unavailable while followed", "a removed history is not found at once"}},
}
