package checker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

type counter struct {
	Value int64 `json:"value"`
}

var add = sharedata.NewFunction("add", func(_ context.Context, c counter, in struct{ By int64 }) (counter, error) {
	if c.Value+in.By < 0 {
		return c, sharedata.Reject("the counter cannot go below zero")
	}
	c.Value += in.By
	return c, nil
})

// observer records the events of a manager as the frames that a server sends.
type observer struct {
	mu         sync.Mutex // events may come before the snapshot
	subscriber *checker.Subscriber
	early      []wire.ServerMessage
	begun      bool
}

func (o *observer) Observe(events []sharedata.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range events {
		if f := liveFrame(e.Entry, e.State); o.begun {
			o.subscriber.Frame(f)
		} else {
			o.early = append(o.early, f)
		}
	}
}

func (o *observer) begin(at sharedata.Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &wire.State{ShareDataID: at.ID, CurrentState: at.State, Cursor: at.Cursor.String(), Revision: at.Cursor.Revision}
	if !at.LastTransaction.IsZero() {
		f.LastTransactionID = at.LastTransaction.String()
	}
	o.subscriber.Frame(f)
	for _, f := range o.early {
		o.subscriber.Frame(f)
	}
	o.begun = true
}

func TestManager_NoViolations(t *testing.T) {
	ctx := t.Context()
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := checker.NewRecorder()
	defer manager.ObserveAll(rec)()
	for range 2 {
		if _, err := manager.Create(ctx, "counter", counter{}, add); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() { proposeToCounter(ctx, rec, manager, n) })
		}
		for n := range 4 {
			o := &observer{subscriber: rec.Subscriber(fmt.Sprint("observer", n), "counter")}
			o.subscriber.Subscribed("")
			snapshot, _, err := manager.Observe(ctx, "counter", o)
			if err != nil {
				t.Fatal(err)
			}
			o.begin(snapshot)
		}
		wg.Wait()
		if _, err := manager.Update(ctx, "counter", counter{Value: 3}); err != nil {
			t.Fatal(err)
		}
		var history []sharedata.Entry
		for e, err := range manager.History(ctx, "counter", replay.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, e)
		}
		rec.History(history)
		rec.Removing("counter")
		if err := manager.Remove(ctx, "counter"); err != nil {
			t.Fatal(err)
		}
	}
	if err := manager.Close(); err != nil {
		t.Fatal(err)
	}
	v := rec.Check(checker.Options{
		Complete: true, Durable: true, FreshReads: true, Models: map[string]checker.Model{"counter": checker.Counter},
	})
	if len(v) > 0 {
		t.Error(v)
	}
	if s := rec.Summary(); s.Removals != 8 || s.Accepted == 0 || s.Rejected == 0 || s.Duplicates == 0 {
		t.Errorf("recorded %v", s)
	}
}

func proposeToCounter(ctx context.Context, rec *checker.Recorder, manager *sharedata.Manager, n int) {
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	caller := &sharedata.Caller{Subject: fmt.Sprint("subject", n%3)}
	for i := range 60 {
		p := sharedata.Proposal{
			ShareDataID: "counter", FunctionID: "add", Caller: caller,
			Data:           json.RawMessage(fmt.Sprintf(`{"by": %d}`, rng.IntN(9)-5)),
			IdempotencyKey: fmt.Sprint("key", i%50), // shared with another proposer of the subject
		}
		pending := rec.Proposed(checker.Proposal{
			Proposer: fmt.Sprint("proposer", n), ShareData: p.ShareDataID, Function: p.FunctionID,
			Data: p.Data.(json.RawMessage), Key: p.IdempotencyKey, Subject: caller.Subject,
		})
		verdict, err := manager.Propose(ctx, p)
		if err != nil {
			pending.Answered(checker.Answer{Error: err.Error()})
			continue
		}
		pending.Answered(checker.Answer{
			Accepted: verdict.Accepted, TransactionID: verdict.Cursor.String(), Duplicate: verdict.Duplicate, Error: verdict.Reason,
		})
	}
}
