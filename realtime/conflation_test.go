package realtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/realtime"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// createPadded creates a ShareData whose state has about n bytes.
func (ts *testServer) createPadded(id string, n int) {
	ts.Helper()
	if _, err := ts.manager.Create(ts.Context(), id, counter{Pad: strings.Repeat("x", n)}, add); err != nil {
		ts.Fatal(err)
	}
}

// conflated checks that a peer with conflate is sent each revision once and in
// order, or told how many it was not sent.
type conflated struct {
	*peer
	last             uint64 // revision
	states, skipped  int
	results, removed int
	patches          bool
	patched          patched
}

// subscribeConflated subscribes and reads the state.
func subscribeConflated(p *peer, id, more string) *conflated {
	p.Helper()
	p.send(`{"v":1,"type":"subscribe","shareDataId":"%s","conflate":true%s}`, id, more)
	state := want[*wire.State](p)
	c := &conflated{peer: p, last: state.Revision, patches: strings.Contains(more, `"patches":true`), patched: patched{T: p.T}}
	if !state.Resumed {
		c.patched.read(state)
	}
	return c
}

// read reads one frame.
func (c *conflated) read() wire.ServerMessage {
	c.Helper()
	message := must(c.peer)
	switch m := message.(type) {
	case *wire.State:
		if m.Skipped == 0 || c.last+m.Skipped != m.Revision {
			c.Fatalf("at %d: state %d, which says that %d entries were left out", c.last, m.Revision, m.Skipped)
		}
		if (m.StateHash != "") != c.patches || m.HasReplaying != c.patches {
			c.Fatalf("got %.300s", m.AppendTo(nil))
		}
		c.last = m.Revision
		c.states++
		c.skipped += int(m.Skipped)
	case *wire.Transaction:
		if m.Revision != c.last+1 {
			c.Fatalf("at %d: transaction %d", c.last, m.Revision)
		}
		c.last++
	case *wire.Lifecycle:
		if m.Event == wire.EventRemoved && m.Revision != c.last+1 {
			c.Fatalf("at %d: removed at %d", c.last, m.Revision)
		}
		c.removed++
	case *wire.ProposalResult:
		if at, err := replay.ParseCursor(m.TransactionID); err != nil || at.Revision > c.last {
			c.Fatalf("at %d: result of %s, %s", c.last, m.TransactionID, m.Code)
		}
		c.results++
	default:
		c.Fatalf("got %.200s", m.AppendTo(nil))
	}
	c.patched.read(message)
	return message
}

func TestConflation_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 256 << 10, Heartbeat: -1})
		ts.createPadded("c", 8<<10)
		c := subscribeConflated(dialPipe(ts), "c", "")
		ts.add("c", 100)
		synctest.Wait()
		c.propose("c", "add", `{"by":1}`, "1")
		synctest.Wait()
		for c.results == 0 {
			c.read()
		}
		if c.states != 1 || c.last != 102 || c.skipped < 50 {
			t.Errorf("%d states, %d skipped, at %d", c.states, c.skipped, c.last)
		}
		ts.add("c", 1)
		c.read()
		c.wantPong("the end")
	})
}

// Readers, proposers and commits of random speed.
func TestConflation_Random(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, seed))
			ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 200 << 10 >> random.IntN(4), Heartbeat: -1, ReplayWindow: 1000})
			ts.createPadded("c", random.IntN(10<<10))
			since := ts.cursor("c")
			ts.add("c", 20)
			resumes, patches := seed&1 == 0, seed&2 == 0
			before, err := ts.manager.StateAt(t.Context(), "c", since)
			if err != nil {
				t.Fatal(err)
			}
			more := fmt.Sprintf(`,"patches":%t`, patches)
			if resumes {
				more += fmt.Sprintf(`,"since":"%s"`, since)
			}
			c := subscribeConflated(dialPipe(ts), "c", more)
			if resumes {
				c.last, c.patched.state = since.Revision, before
			}
			const changes, proposals = 300, 10
			var writing sync.WaitGroup
			defer writing.Wait()
			writing.Go(func() {
				for i := range changes / 10 {
					ts.add("c", 10)
					time.Sleep(time.Duration(i%12) * time.Millisecond)
				}
			})
			writing.Go(func() {
				for i := range proposals {
					c.propose("c", "add", `{"by":1}`, fmt.Sprint(i))
				}
			})
			for c.results < proposals || c.last < 21+changes+proposals {
				c.read()
				if random.IntN(4) == 0 {
					time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
				}
			}
			c.wantPong("the end")
			if c.patched.want(ts, "c"); patches && c.patched.hashes == 0 {
				t.Error("no hash")
			}
			t.Logf("seed %d: resumes %t, patches %t, %d states for %d entries", seed, resumes, patches, c.states, c.skipped)
		})
	}
}

// What is left out ends at the removal, which is never left out.
func TestConflation_Removed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{Heartbeat: -1})
		for changes, skipped := range map[int]int{20: 19, 1: 0} {
			ts.createPadded("c", 100<<10)
			c := subscribeConflated(dialPipe(ts), "c", "")
			synctest.Wait() // until the state does not count as waiting
			ts.add("c", changes)
			if err := ts.manager.Remove(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for c.removed == 0 {
				c.read()
			}
			if c.last != uint64(1+changes) || c.skipped != skipped {
				t.Errorf("%d changes: at %d, %d skipped", changes, c.last, c.skipped)
			}
			c.wantPong("the end")
		}
	})
}

// A replay is completed before entries are left out.
func TestConflation_DuringReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 32 << 10, ReplayWindow: 5000, Heartbeat: -1})
		ts.createPadded("c", 1<<10)
		since := ts.cursor("c")
		ts.add("c", 900)
		c := subscribeConflated(dialPipe(ts), "c", `,"since":"`+since.String()+`"`)
		c.last = since.Revision
		ts.add("c", 50)
		c.propose("c", "add", `{"by":1}`, "1")
		synctest.Wait()
		for c.results == 0 {
			if tx, ok := c.read().(*wire.Transaction); ok && !tx.Replayed && c.states == 0 {
				t.Fatalf("live transaction %d", tx.Revision)
			}
		}
		if c.last != 952 || c.skipped != 51 {
			t.Errorf("at %d, %d skipped", c.last, c.skipped)
		}
		c.wantPong("the end")
	})
}

// While a subscription is rechecked, what it holds is bounded too.
func TestConflation_Recheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		goOn := make(chan struct{})
		ts := servePipes(t, &realtime.Options{
			MaxBufferedBytes: 128 << 10, Heartbeat: -1,
			AuthorizeActivity: func(context.Context, *sharedata.Caller, string) error {
				if checks.Add(1) > 1 {
					<-goOn
				}
				return nil
			},
		})
		ts.createPadded("c", 10<<10)
		c := subscribeConflated(dialPipe(ts), "c", `,"activity":true`)
		done := make(chan error)
		go func() { done <- ts.server.Reauthorize(t.Context()) }()
		synctest.Wait()
		ts.add("c", 50)
		synctest.Wait()
		c.wantPong("nothing came")
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.read()
		if c.last != 51 || c.skipped != 50 {
			t.Errorf("at %d, %d skipped", c.last, c.skipped)
		}
	})
}

// An ordinary subscription on the same connection has its part of the buffer, and
// ends the connection if that is not enough for it.
func TestConflation_BesideOrdinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ts := servePipes(t, &realtime.Options{MaxBufferedBytes: 128 << 10, Heartbeat: -1, Observer: r.observer()})
		ts.createPadded("c", 10<<10)
		ts.createPadded("ordinary", 10<<10)
		p := dialPipe(ts)
		subscribeConflated(p, "c", "")
		p.join("ordinary", "")
		ts.add("c", 100)
		ts.add("ordinary", 6)
		ts.add("c", 100)
		synctest.Wait()
		if over := r.overflows(); len(over) != 0 {
			t.Fatalf("overflow: %+v", over)
		}
		ts.add("ordinary", 10)
		synctest.Wait()
		if over := r.overflows(); len(over) != 1 {
			t.Errorf("overflows: %+v", over)
		}
		for {
			m, err := p.next()
			if err != nil {
				break
			}
			if tx, ok := m.(*wire.Transaction); !ok || tx.Revision > 20 {
				t.Errorf("got %.100s", m.AppendTo(nil))
			}
		}
		r.wantClosed(t, codes.CloseFellBehind)
	})
}
