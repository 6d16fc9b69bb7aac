package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whatever breaks, the user's events are gapless, in order and once, or the
// user is told of a gap; and every proposal takes effect once.
func TestRandomFaults(t *testing.T) {
	for _, published := range []bool{false, true} {
		seen := make(map[string]int)
		for seed := range uint64(15) {
			t.Run(fmt.Sprintf("published=%v/seed=%d", published, seed), func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) { randomFaults(t, f, seed, published, seen) })
			})
		}
		t.Logf("published=%v: seen %v", published, seen)
		for _, what := range []string{"resumed", "replayed", "gap", "removed", "connections", "pauses", "repeats"} {
			if seen[what] < 5 && !(published && what == "repeats") {
				t.Errorf("published=%v: the faults led to %d %s: too few to mean anything", published, seen[what], what)
			}
		}
	}
}

func randomFaults(t *testing.T, f *fake, seed uint64, published bool, seen map[string]int) {
	w := newModelServer(seed, published)
	f.set(func(f *fake) { f.serve = w.serve })
	c := f.start(&Options{EventBuffer: 8, Backoff: Backoff{Max: 2 * time.Second}, RequestTimeout: -1})

	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	var judges []*verifier
	for i, id := range []string{"x", "y", "z"} {
		j := &verifier{w: w, id: id}
		judges = append(judges, j)
		users.Go(func() { consume(ctx, c, j, rand.New(rand.NewPCG(seed, uint64(i)+10))) })
	}
	results := make(map[string]string) // data -> transaction id
	var mu sync.Mutex
	for i, id := range []string{"x", "y"} {
		users.Go(func() {
			for n := range 20 {
				data := fmt.Sprint(1000*i + n)
				result, err := c.Propose(ctx, id, "set", json.RawMessage(data))
				if err != nil {
					t.Errorf("propose: %v", err)
					return
				}
				mu.Lock()
				results[data] = result.TransactionID
				mu.Unlock()
				time.Sleep(40 * time.Millisecond)
			}
		})
	}

	pace := rand.New(rand.NewPCG(seed, 2))
	for range 800 {
		w.step(f)
		time.Sleep(time.Duration(pace.IntN(60)) * time.Millisecond)
	}
	f.set(func(f *fake) { f.down = false })

	deadline := time.Now().Add(10 * time.Minute)
	for upToDate := false; !upToDate; {
		time.Sleep(time.Second)
		upToDate = true
		w.mu.Lock()
		for p := range w.peers {
			w.flushLocked(p)
		}
		w.mu.Unlock()
		mu.Lock()
		upToDate = len(results) == 40
		mu.Unlock()
		for _, j := range judges {
			upToDate = upToDate && j.upToDate()
		}
		if time.Now().After(deadline) {
			t.Error("does not complete")
			break
		}
	}
	cancel()
	c.Close()
	users.Wait()
	seen["connections"] += len(f.attempts())
	seen["pauses"] += w.pauses
	seen["repeats"] += w.repeats
	for _, j := range judges {
		for _, line := range j.log {
			for _, word := range []string{"resumed", "replayed", "gap", "removed"} {
				seen[word] += strings.Count(line, word)
			}
		}
		if !published && j.gaps > w.lost[j.id] {
			j.failf("%d gaps, though only %d cursors were lost", j.gaps, w.lost[j.id])
		}
		if j.fault != nil {
			t.Error(j.fault)
		}
		if t.Failed() {
			t.Logf("%s, known %v, at %s: last of %d events: %q", j.id, j.known, j.at, len(j.log), j.log[max(0, len(j.log)-40):])
		}
	}
	if published {
		return // it knows no idempotency keys
	}
	for id, h := range w.histories {
		times := make(map[string]int)
		for _, r := range h.entries {
			times[r.data]++
		}
		for data := range results {
			if times[data] > 1 {
				t.Errorf("%s: %s took effect %d times", id, data, times[data])
			}
		}
	}
}

// consume follows one ShareData for ever, now fast, now slowly, and sometimes
// leaves the loop.
func consume(ctx context.Context, c *Client, j *verifier, random *rand.Rand) {
	s := c.Subscribe(j.id)
	for ctx.Err() == nil {
		left := false
		for event, err := range s.Events(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
					j.mu.Lock()
					j.failf("%v", err)
					j.mu.Unlock()
				}
				return
			}
			j.take(event, s.Cursor())
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			if left = random.IntN(20) == 0; left {
				break
			}
		}
		if !left { // removed
			s = c.Subscribe(j.id)
		}
	}
}
