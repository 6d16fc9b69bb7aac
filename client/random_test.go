package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	for _, server := range []string{"patches", "whole", "published"} {
		seen := make(map[string]int)
		for seed := range uint64(15) {
			t.Run(fmt.Sprintf("%s/seed=%d", server, seed), func(t *testing.T) {
				testWithFake(t, func(t *testing.T, f *fake) { randomFaults(t, f, seed, server, seen) })
			})
		}
		t.Logf("%s: seen %v", server, seen)
		for _, what := range []string{"resumed", "replayed", "gap", "removed", "connections", "pauses", "repeats", "refused", "unchanged"} {
			if seen[what] < 5 && !(server == "published" && what == "repeats") {
				t.Errorf("%s: the faults led to %d %s: too few to mean anything", server, seen[what], what)
			}
		}
		for _, what := range []string{"patches", "computed", "differing", "skipped", "moves"} {
			if server == "patches" && seen[what] < 20 {
				t.Errorf("there were %d %s: too few to mean anything", seen[what], what)
			}
		}
	}
}

func randomFaults(t *testing.T, f *fake, seed uint64, server string, seen map[string]int) {
	published := server == "published"
	w := newModelServer(seed, published)
	w.patches = server == "patches"
	f.set(func(f *fake) { f.serve = w.serve })
	var log bytes.Buffer
	options := Options{EventBuffer: 8, Backoff: Backoff{Max: 2 * time.Second}, RequestTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	if seed%3 == 0 {
		options.KeptStateBytes = 120 // Some states are larger.
	}
	c := f.start(&options)

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
			for id, s := range w.peers[p] {
				if s.held {
					w.conflateLocked(p, id, s)
				}
			}
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
	seen["skipped"] += w.skips
	seen["differing"] += strings.Count(log.String(), "the state differs")
	seen["large"] += strings.Count(log.String(), "too large to be kept")
	for _, j := range verifiers {
		for _, line := range j.log {
			for _, word := range []string{"resumed", "replayed", "gap", "removed"} {
				seen[word] += strings.Count(line, word)
			}
		}
		seen["computed"] += j.computed
		seen["patches"] += j.patches
		seen["moves"] += j.moves
		if !published && j.gaps > w.lost[j.id]+w.planted[j.id] {
			j.failf("%d gaps, though only %d cursors were lost and %d frames were wrong", j.gaps, w.lost[j.id], w.planted[j.id])
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
	options := SubscribeOptions{Conflate: random.IntN(2) == 0}
	s := c.SubscribeWith(j.id, options)
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
		switch {
		case !left: // removed
			s = c.SubscribeWith(j.id, options)
		case !j.w.published && random.IntN(3) == 0:
			s.Close()
			moved := options
			moved.Cursor, moved.State = s.Position()
			s = c.SubscribeWith(j.id, moved)
			j.move(moved.Cursor != "")
		}
	}
}
