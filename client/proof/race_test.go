package proof_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	verifying "github.com/safe-go/safe/sharedata/proof"
)

// Proposers with keys of their own race for one counter at two servers that share a
// store, also with connections that are cut. All get verdicts, each proposal is in the
// history once, and the proof in each entry is that of its caller for the entry before.
func TestProve_Race(t *testing.T) {
	for _, cuts := range []bool{false, true} {
		t.Run(fmt.Sprintf("cuts=%t", cuts), func(t *testing.T) { race(t, cuts) })
	}
}

func race(t *testing.T, cuts bool) {
	const proposers, each = 8, 12
	keys := verifying.NewRegistry()
	medium := sharedstore.New()
	processes := []process{newProcess(t, medium, keys), newProcess(t, medium, keys)}
	var proofs, accepted atomic.Int64
	var wait sync.WaitGroup
	for i := range proposers {
		subject := fmt.Sprint("s", i)
		signer := newSigner(t, keys, subject, i%2 == 0)
		c, line := connect(t, processes[i/2%2].url, subject)
		prove := func(ctx context.Context, input client.ProofInput) (any, error) {
			n := proofs.Add(1)
			if cuts && n%7 == 0 {
				line.cut() // before the attempt is sent
			}
			p, err := signer.Prove(ctx, input)
			if cuts && n%11 == 0 {
				go line.cut() // about when it is sent
			}
			return p, err
		}
		wait.Go(func() {
			for j := range each {
				by := (i + j) % 4 // some are rejected
				result, err := c.ProposeWith(t.Context(), client.Proposal{ShareDataID: "counter", FunctionID: "add", Data: Add{By: by}, Prove: prove})
				if err != nil || result.Accepted != (by > 0) {
					t.Errorf("%s: %+v, %v", subject, result, err)
				}
				accepted.Add(int64(by))
			}
		})
	}
	wait.Wait()
	if proofs.Load() <= proposers*each {
		t.Errorf("%d proofs for %d proposals: nobody lost a race", proofs.Load(), proposers*each)
	}
	var entries []sharedata.Entry
	for e, err := range processes[0].manager.History(t.Context(), "counter", replay.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if len(entries) != 1+proposers*each {
		t.Errorf("%d entries, want %d", len(entries), 1+proposers*each)
	}
	for i := 1; i < len(entries); i++ {
		if err := verifying.VerifyEntry(t.Context(), keys, entries[i-1], entries[i]); err != nil {
			t.Error(err)
		}
	}
	at, err := processes[1].manager.Get(t.Context(), "counter")
	if want := fmt.Sprintf(`{"value":%d}`, accepted.Load()); err != nil || string(at.State) != want {
		t.Errorf("the state is %s, want %s (%v)", at.State, want, err)
	}
	t.Logf("%d proofs for %d proposals", proofs.Load(), proposers*each)
}
