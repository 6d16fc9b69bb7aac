package promises

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// cutStore is a store that is cut off from a certain call on, for some calls. The
// first of them may take effect all the same.
type cutStore struct {
	replay.Store

	mu        sync.Mutex
	from, to  int // the calls, counted from 1, that fail; none if from is 0
	committed bool
	calls     int
}

var errCut = fmt.Errorf("%w: it is cut off", replay.ErrUnavailable)

// cut makes the calls fail that are the n-th from now on, for some calls.
func (s *cutStore) cut(n, calls int, committed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.from, s.to, s.committed = 0, n, n+calls, committed
}

// isCut counts a call and reports whether it fails, and whether it takes effect.
func (s *cutStore) isCut() (cut, committed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	cut = s.from > 0 && s.calls >= s.from && s.calls < s.to
	return cut, !cut || s.committed && s.calls == s.from
}

func (s *cutStore) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	if cut, _ := s.isCut(); cut {
		return replay.Head{}, errCut
	}
	return s.Store.Load(ctx, id, have)
}

func (s *cutStore) Append(ctx context.Context, id string, batch replay.Batch) error {
	cut, committed := s.isCut()
	if committed {
		if err := s.Store.Append(ctx, id, batch); err != nil {
			return err
		}
	}
	if cut {
		return errCut
	}
	return nil
}

func (s *cutStore) Read(ctx context.Context, id string, after replay.Cursor, limit int) ([]replay.Entry, error) {
	if cut, _ := s.isCut(); cut {
		return nil, errCut
	}
	return s.Store.Read(ctx, id, after, limit)
}

func (s *cutStore) Find(ctx context.Context, id string, keys []string) ([]replay.Entry, error) {
	if cut, _ := s.isCut(); cut {
		return nil, errCut
	}
	return s.Store.Find(ctx, id, keys)
}

// proposeUntilVerdict is what a caller writes who has read only the documentation of
// ProposeWith and its errors.
func proposeUntilVerdict(ctx context.Context, c *client.Client, p client.Proposal) (client.Result, error) {
	p.IdempotencyKey = rand.Text()
	var unknown error
	for {
		result, err := c.ProposeWith(ctx, p)
		if errors.Is(err, client.ErrOutcomeUnknown) {
			unknown = err
		}
		switch {
		case err == nil:
			return result, nil
		case !errors.Is(err, client.ErrTimeout) || ctx.Err() != nil:
			return result, errors.Join(unknown, err)
		}
	}
}

// Promise 6, as a caller has it: a loop that repeats a proposal adds once, with the
// store cut off at any point of the commit, before and after the append took effect,
// for short and for longer than a call of the client lasts. And an error that does
// not say that the outcome is unknown tells the truth.
func TestOnceOnly_StoreCutAtAnyPoint(t *testing.T) {
	store := &cutStore{Store: boundlessMemory(t)}
	h := newHarness(t, store, realtime.Options{})
	c, err := client.Dial(h.ctx, h.url, &client.Options{RequestTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	add := client.Proposal{ShareDataID: "counter-0", FunctionID: "add", Data: addInput{By: 1}}
	for _, committed := range []bool{false, true} {
		for point := 1; point <= 4; point++ {
			for _, calls := range []int{1, 2, 3, 20} {
				name := fmt.Sprintf("committed=%t/point=%d/calls=%d", committed, point, calls)
				store.cut(point, calls, committed)
				before := value(h, "counter-0")
				result, err := c.ProposeWith(h.ctx, add)
				if err == nil && result.Accepted {
					before++
				}
				if err != nil && !errors.Is(err, client.ErrOutcomeUnknown) {
					store.cut(0, 0, false)
					if now := refreshed(h, "counter-0"); now != before {
						t.Errorf("%s: the counter went from %d to %d, but the error is %v", name, before, now, err)
					}
				}
				store.cut(0, 0, false)
				want := refreshed(h, "counter-0")

				store.cut(point, calls, committed)
				if result, err := proposeUntilVerdict(h.ctx, c, add); err != nil || !result.Accepted {
					t.Fatalf("%s: %+v, %v", name, result, err)
				}
				store.cut(0, 0, false)
				want++
				if now := refreshed(h, "counter-0"); now != want {
					t.Fatalf("%s: the loop added %d times", name, now-want+1)
				}
			}
		}
	}
}

func boundlessMemory(t *testing.T) *replay.Memory {
	t.Helper()
	memory, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: -1, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	return memory
}

// refreshed is the counter's value after everything that was appended is known.
func refreshed(h *harness, id string) int64 {
	h.t.Helper()
	// A proposal on the reachable store resolves an append in doubt.
	c, err := client.Dial(h.ctx, h.url, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Propose(h.ctx, id, "add", addInput{}); err != nil {
		h.t.Fatal(err)
	}
	return value(h, id)
}

func value(h *harness, id string) int64 {
	h.t.Helper()
	at, err := h.manager.Get(h.ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := sharedata.Decode[counter](at.State)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.Value
}
