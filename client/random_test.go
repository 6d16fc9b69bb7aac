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

// Whatever fails, events are gapless, in order and once, or a Gap is delivered;
// every proposal takes effect at most once; and none that has taken effect fails
// with an error that says that nothing happened.
func TestRandomFaults(t *testing.T) {
	for _, published := range []bool{false, true} {
		seen := make(map[string]int)
		for seed := range uint64(15) {
			t.Run(fmt.Sprintf("published=%v/seed=%d", published, seed), func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) { randomFaults(t, f, seed, published, seen) })
			})
		}
		t.Logf("published=%v: seen %v", published, seen)
		for _, what := range []string{"resumed", "replayed", "gap", "removed", "connections", "pauses", "repeats", "refused", "unchanged"} {
			if seen[what] < 5 && !(published && what == "repeats") {
				t.Errorf("published=%v: the faults led to %d %s: too few to mean anything", published, seen[what], what)
			}
		}
	}
}

func randomFaults(t *testing.T, f *fake, seed uint64, published bool, seen map[string]int) {
	w := newModelServer(seed, published)
	f.set(func(f *fake) { f.serve = w.serve })
	c := f.start(&Options{EventBuffer: 8, Backoff: Backoff{Max: 2 * time.Second}, RequestTimeout: 2 * time.Second})

	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	var verifiers []*verifier
	for i, id := range []string{"x", "y", "z"} {
		j := &verifier{w: w, id: id}
		verifiers = append(verifiers, j)
		users.Go(func() { consume(ctx, c, j, rand.New(rand.NewPCG(seed, uint64(i)+10))) })
	}
	var mu sync.Mutex
	done, unchanged := 0, make(map[string]bool) // unchanged: proposals that changed nothing, as their errors say
	for i, id := range []string{"x", "y"} {
		users.Go(func() {
			for n := range 20 {
				data := fmt.Sprint(1000*i + n)
				is := proposeOnce(ctx, c, id, data)
				mu.Lock()
				done++
				unchanged[data] = is
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
	for quiet := false; !quiet; {
		time.Sleep(time.Second)
		w.mu.Lock()
		for p := range w.peers {
			w.flushLocked(p)
		}
		w.mu.Unlock()
		mu.Lock()
		quiet = done == 40
		mu.Unlock()
		for _, j := range verifiers {
			quiet = quiet && j.upToDate()
		}
		if time.Now().After(deadline) {
			t.Error("does not become quiet")
			break
		}
	}
	cancel()
	c.Close()
	users.Wait()
	seen["connections"] += len(f.attempts())
	seen["pauses"] += w.pauses
	seen["repeats"] += w.repeats
	seen["refused"] += w.refused
	for _, j := range verifiers {
		for _, line := range j.log {
			for _, word := range []string{"resumed", "replayed", "gap", "removed"} {
				seen[word] += strings.Count(line, word)
			}
		}
		if !published && j.gaps > w.lost[j.id] {
			j.failf("%d gaps, though only %d cursors were lost", j.gaps, w.lost[j.id])
		}
		if j.err != nil {
			t.Error(j.err)
		}
		if t.Failed() {
			t.Logf("%s, known %v, at %s: last of %d events: %q", j.id, j.known, j.at, len(j.log), j.log[max(0, len(j.log)-40):])
		}
	}
	for data, is := range unchanged {
		if is {
			seen["unchanged"]++
		}
		if is && w.applied[data] > 0 {
			t.Errorf("%s took effect %d times, though its error says that nothing happened", data, w.applied[data])
		}
	}
	if published {
		return // It knows no idempotency keys.
	}
	for id, h := range w.histories {
		times := make(map[string]int)
		for _, r := range h.entries {
			times[r.data]++
		}
		for data := range unchanged {
			if times[data] > 1 {
				t.Errorf("%s: %s took effect %d times", id, data, times[data])
			}
		}
	}
}

// proposeOnce proposes under one key until there is a verdict or a refusal. It
// reports whether the errors say that nothing has changed.
func proposeOnce(ctx context.Context, c *Client, id, data string) (unchanged bool) {
	p := Proposal{ShareDataID: id, FunctionID: "set", Data: json.RawMessage(data), IdempotencyKey: data}
	for unknown := false; ; {
		_, err := c.ProposeWith(ctx, p)
		unknown = unknown || errors.Is(err, ErrOutcomeUnknown)
		if !errors.Is(err, ErrTimeout) {
			return err != nil && !unknown
		}
	}
}

// consume ranges over the events of one ShareData until the context ends, now fast,
// now slowly, and sometimes leaves the loop.
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
			j.check(event, s.Cursor())
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
