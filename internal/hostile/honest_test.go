package hostile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/client"
)

const (
	honestClients = 50
	// pause is the time between two proposals of an honest client.
	pause = 100 * time.Millisecond
)

// honest are clients that are subscribed to a ShareData and propose to it.
type honest struct {
	t       *testing.T
	clients []*client.Client
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	latencies latencies
}

func startHonest(t *testing.T, address string) *honest {
	ctx, cancel := context.WithCancel(context.Background())
	h := &honest{t: t, cancel: cancel}
	for i := range honestClients {
		c, err := client.Dial(ctx, "ws://"+address+"/realtime", nil)
		if err != nil {
			t.Fatal(err)
		}
		h.clients = append(h.clients, c)
		h.running.Go(func() { h.watch(ctx, c, counterID(i)) })
		h.running.Go(func() { h.propose(ctx, c, counterID(i)) })
	}
	return h
}

// stop ends the clients.
func (h *honest) stop() {
	h.cancel()
	h.running.Wait()
	for _, c := range h.clients {
		c.Close()
	}
}

// watch fails the test unless every revision comes once and in order, on one
// connection: a state comes once.
func (h *honest) watch(ctx context.Context, c *client.Client, id string) {
	var last uint64
	for event, err := range c.Subscribe(id).Events(ctx) {
		switch e := event.(type) {
		case *client.State:
			if last != 0 {
				h.t.Errorf("%s: subscribed again after %d", id, last)
			}
			last = e.Revision
		case *client.Transaction:
			if e.Revision != last+1 {
				h.t.Errorf("%s: %d after %d", id, e.Revision, last)
			}
			last = e.Revision
		default:
			if ctx.Err() == nil {
				h.t.Errorf("%s: %T after %d: %v", id, event, last, err)
			}
			return
		}
	}
}

func (h *honest) propose(ctx context.Context, c *client.Client, id string) {
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		began := time.Now()
		result, err := c.Propose(ctx, id, "add", 1)
		took := time.Since(began)
		switch {
		case errors.Is(err, context.Canceled):
			return
		case err != nil || !result.Accepted:
			h.t.Errorf("%s: %+v, %v", id, result, err)
			return
		}
		h.mu.Lock()
		h.latencies = append(h.latencies, took)
		h.mu.Unlock()
	}
}

// latencies are of proposals, from the call of Propose to its result.
type latencies []time.Duration

// measure appends the latencies since the last call to a list; nil drops them.
func (h *honest) measure(to *latencies) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.latencies) == 0 {
		h.t.Error("the honest clients made no proposal")
	}
	if to != nil {
		*to = append(*to, h.latencies...)
	}
	h.latencies = nil
}

func (l latencies) percentile(p int) time.Duration {
	slices.Sort(l)
	return l[len(l)*p/100]
}

func (l latencies) String() string {
	return fmt.Sprintf("%d proposals, p50 %v, p99 %v", len(l), l.percentile(50), l.percentile(99))
}
