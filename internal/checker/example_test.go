package checker_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/safe-go/safe/internal/checker"
	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/sharedata"
)

// A subscriber is sent every transaction but one.
func Example() {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	rec := checker.NewRecorder()
	defer manager.ObserveAll(rec)() // records what is committed

	ctx := context.Background()
	snapshot, err := manager.Create(ctx, "counter", counter{}, add)
	if err != nil {
		fmt.Println(err)
		return
	}
	alice := rec.Subscriber("alice", "counter")
	alice.Subscribed("")
	alice.Frame(&wire.State{
		ShareDataID: "counter", CurrentState: snapshot.State, Cursor: snapshot.Cursor.String(), HasReplaying: true,
	})
	for i := range 3 {
		data := json.RawMessage(`{"by":1}`)
		proposed := rec.Proposed(checker.Proposal{Proposer: "bob", ShareData: "counter", Function: "add", Data: data})
		verdict, _ := manager.Propose(ctx, sharedata.Proposal{ShareDataID: "counter", FunctionID: "add", Data: data})
		proposed.Answered(checker.Answer{Accepted: verdict.Accepted, TransactionID: verdict.Cursor.String()})
		if i == 1 {
			continue // the frame is lost
		}
		alice.Frame(&wire.Transaction{
			ShareDataID: "counter", TransactionID: verdict.Cursor.String(), Revision: verdict.Cursor.Revision,
			Accepted: true, CurrentState: fmt.Appendf(nil, `{"value":%d}`, i+1), FunctionID: "add",
		})
	}

	violations := rec.Check(checker.Options{
		Complete: true,
		Models:   map[string]checker.Model{"counter": checker.Counter},
	})
	for _, v := range violations {
		fmt.Printf("%s: %s of %s misses something\n", v.Promise, v.ShareData, v.Subscriber)
	}
	fmt.Println(rec.Summary())

	// Output:
	// gapless: counter of alice misses something
	// 1 states, 2 live frames, 3 proposals, 3 accepted, 1 histories, 4 entries
}
