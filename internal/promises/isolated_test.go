package promises

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/sharedata"
)

// runCounter counts the runs of a function, and notes the count at the arrival and
// at the evaluation of other proposals.
type runCounter struct {
	mu      sync.Mutex
	started chan struct{} // closed when the first run begins
	runs    int
	// arrived and evaluated are the numbers of runs that had begun when a fair
	// proposal was authorized, and when its function ran.
	arrived, evaluated []int
}

func (c *runCounter) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs++; c.runs == 1 {
		close(c.started)
	}
}

func (c *runCounter) note(counts *[]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*counts = append(*counts, c.runs)
}

// Promise 7: a proposer with slow functions delays another by at most one run per
// turn, however many proposals it has in flight. One connection sends 20 proposals
// to a function that misses its deadline; another proposes meanwhile, and waits for
// each verdict. What counts is how many of the slow runs begin before each of its
// proposals is evaluated, not how long that takes.
func TestIsolated_ProposersTakeTurns(t *testing.T) {
	const slowProposals, fairProposals = 20, 5
	c := &runCounter{started: make(chan struct{})}
	slow := sharedata.NewFunction("slow", func(ctx context.Context, n int, _ json.RawMessage) (int, error) {
		c.begin()
		<-ctx.Done()
		return n, ctx.Err()
	}).WithTimeout(100 * time.Millisecond)
	fair := sharedata.NewFunction("fair", func(_ context.Context, n int, _ json.RawMessage) (int, error) {
		c.note(&c.evaluated)
		return n + 1, nil
	})
	h := newHarness(t, nil, realtime.Options{
		AuthorizePropose: func(_ context.Context, _ *sharedata.Caller, _, functionID string) error {
			if functionID == "fair" {
				c.note(&c.arrived)
			}
			return nil
		},
	})
	if _, err := h.manager.Create(h.ctx, "shared", 0, slow, fair); err != nil {
		t.Fatal(err)
	}
	hog, other := h.connect("hog"), h.connect("other")
	for range slowProposals {
		hog.propose("shared", "slow", json.RawMessage("1"), "")
	}
	<-c.started
	for range fairProposals {
		other.propose("shared", "fair", json.RawMessage("1"), "")
		if !other.awaitReplies() {
			t.Fatal("the connection of the fair proposer ended")
		}
	}
	hog.cut()
	other.cut()

	c.mu.Lock()
	defer c.mu.Unlock()
	counts := fmt.Sprintf("slow runs at the arrival of each fair proposal: %v, at its evaluation: %v", c.arrived, c.evaluated)
	t.Log(counts)
	if len(c.arrived) != fairProposals || len(c.evaluated) != fairProposals {
		t.Fatalf("not every fair proposal ran once; %s", counts)
	}
	for i := range c.evaluated {
		// The run under way at the arrival has begun before it. Another one may
		// begin between the authorization and the queue.
		if runs := c.evaluated[i] - c.arrived[i]; runs > 1 {
			t.Errorf("%d slow runs began while fair proposal %d waited; %s", runs, i+1, counts)
		}
		// Between two fair proposals, one run may be in the batch of the first, and
		// one may be under way when the second arrives.
		if i > 0 && c.evaluated[i]-c.evaluated[i-1] > 2 {
			t.Errorf("%d slow runs between fair proposals %d and %d; %s", c.evaluated[i]-c.evaluated[i-1], i, i+1, counts)
		}
	}
}
