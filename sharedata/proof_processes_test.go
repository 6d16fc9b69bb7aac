package sharedata_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/sharedata"
)

// Proposers with proofs, some without, race in two processes. Every proof in the
// history is for the entry before, however often batches were decided again, and every
// proposal is in the history once.
func TestProof_Race(t *testing.T) {
	const proposers, each = 6, 25
	_, a, b := twoNodes(t, verifying(verifyPosition))
	nodes := []node{a, b}
	var stale, accepted atomic.Int64
	var wait sync.WaitGroup
	for i := range proposers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for j := range each {
				m, key := nodes[random.IntN(2)].Manager, fmt.Sprint(i, "-", j)
				by := random.IntN(3) - 1 // some are rejected
				for {
					p := addition("counter", by, key)
					if i > 1 {
						at, err := m.Get(t.Context(), "counter")
						if err != nil {
							t.Error(err)
							return
						}
						p.Proof = proofAt(at.Cursor, string(at.State))
						runtime.Gosched()
					}
					v, err := m.Propose(t.Context(), p)
					if errors.Is(err, sharedata.ErrProofStale) {
						stale.Add(1)
						continue
					}
					if err != nil || v.Duplicate {
						t.Errorf("%+v, %v", v, err)
					}
					accepted.Add(1)
					break
				}
			}
		})
	}
	wait.Wait()
	history := wholeHistory(t, a.Manager, "counter")
	if len(history) != 1+proposers*each || accepted.Load() != proposers*each || stale.Load() == 0 {
		t.Errorf("%d entries, %d verdicts, %d were stale", len(history), accepted.Load(), stale.Load())
	}
	for i := 1; i < len(history); i++ {
		before, e := history[i-1], history[i]
		request := sharedata.ProofRequest{Position: before.Cursor, StateHash: before.StateHash, Proof: e.Proof}
		if e.Proof != nil && verifyPosition(t.Context(), request) != nil {
			t.Errorf("%s has the proof %s, after %s", e.Cursor, e.Proof, before.Cursor)
		}
	}
}

// A proof for the current position is accepted by a process that was not notified of it.
func TestProof_LaggingProcess(t *testing.T) {
	_, a, b := twoNodes(t, verifying(verifyPosition))
	for range 3 {
		mustAdd(t, a.Manager, "counter", 1)
		if v, err := b.Propose(t.Context(), proven(t, a.Manager, 1, "")); err != nil || !v.Accepted {
			t.Errorf("got %+v, %v", v, err)
		}
	}
}

func TestProof_RepeatAtAnotherProcess(t *testing.T) {
	_, a, b := twoNodes(t, verifying(verifyPosition))
	for _, by := range []int{1, -5} { // accepted, rejected
		p := proven(t, a.Manager, by, fmt.Sprint("k", by))
		first, err := a.Propose(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, a.Manager, "counter", 1)
		again, err := b.Propose(t.Context(), p)
		wantRepeat(t, "at another process", first, again, err)
	}
	p := proven(t, a.Manager, 1, "k")
	mustAdd(t, b.Manager, "counter", 1)
	if _, err := a.Propose(t.Context(), p); !errors.Is(err, sharedata.ErrProofStale) {
		t.Errorf("after another process: %v", err)
	}
}
