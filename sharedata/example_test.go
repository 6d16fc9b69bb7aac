package sharedata_test

import (
	"context"
	"fmt"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

type Counter struct {
	Value int `json:"value"`
}

type Add struct {
	By int `json:"by"`
}

func Example() {
	add := sharedata.NewFunction("add", func(_ context.Context, c Counter, in Add) (Counter, error) {
		if c.Value+in.By < 0 {
			return c, sharedata.Reject("the counter cannot go below zero")
		}
		c.Value += in.By
		return c, nil
	})

	manager, err := sharedata.NewManager(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	ctx := context.Background()
	if _, err := manager.Create(ctx, "counter", Counter{}, add); err != nil {
		fmt.Println(err)
		return
	}

	for _, by := range []int{5, -7, -2} {
		verdict, err := manager.Propose(ctx, sharedata.Proposal{
			ShareDataID: "counter", FunctionID: "add", Data: Add{By: by},
		})
		fmt.Println(by, verdict.Accepted, verdict.Reason, err)
	}

	snapshot, _ := manager.Get(ctx, "counter")
	fmt.Println(string(snapshot.State), "at revision", snapshot.Cursor.Revision)
	for entry := range manager.History(ctx, "counter", replay.Cursor{}) {
		fmt.Println(entry.Revision(), entry.Type, entry.FunctionID, string(entry.Data), entry.Accepted)
	}
	_, err = sharedata.Verify(manager.History(ctx, "counter", replay.Cursor{}))
	fmt.Println("the chain is unbroken:", err == nil)

	// Output:
	// 5 true  <nil>
	// -7 false the counter cannot go below zero <nil>
	// -2 true  <nil>
	// {"value":3} at revision 4
	// 1 created   false
	// 2 transaction add {"by":5} true
	// 3 transaction add {"by":-7} false
	// 4 transaction add {"by":-2} true
	// the chain is unbroken: true
}
