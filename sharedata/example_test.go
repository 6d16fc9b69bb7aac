package sharedata_test

import (
	"context"
	"encoding/json"
	"errors"
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
	fmt.Println("the history is unchanged:", err == nil)

	// Output:
	// 5 true  <nil>
	// -7 false the counter cannot go below zero <nil>
	// -2 true  <nil>
	// {"value":3} at revision 4
	// 1 created   false
	// 2 transaction add {"by":5} true
	// 3 transaction add {"by":-7} false
	// 4 transaction add {"by":-2} true
	// the history is unchanged: true
}

// A rule is tested without a manager: Run checks the input, runs the function and
// returns what a proposal would lead to.
func ExampleFunction_Run() {
	type Stock struct {
		Left int `json:"left"`
	}
	type Order struct {
		Count int `json:"count"`
	}
	buy := sharedata.NewFunction("buy", func(_ context.Context, stock Stock, order Order) (Stock, error) {
		if order.Count > stock.Left {
			return stock, sharedata.RejectWith("sold-out", "order fewer", stock)
		}
		stock.Left -= order.Count
		return stock, nil
	}).WithStrictInput()
	ctx := context.Background()

	next, err := buy.Run(ctx, Stock{Left: 3}, Order{Count: 2})
	fmt.Println(string(next), err)

	_, err = buy.Run(ctx, Stock{Left: 1}, Order{Count: 2})
	var rejected *sharedata.Rejection
	if errors.As(err, &rejected) {
		fmt.Println(rejected.Code, rejected.Reason, string(rejected.Details))
	}

	_, err = buy.Run(ctx, Stock{Left: 1}, json.RawMessage(`{"cuont":2}`))
	var invalid *sharedata.InputError
	if errors.As(err, &invalid) {
		fmt.Println(invalid.Pointer, invalid.Problem)
	}

	// Output:
	// {"left":1} <nil>
	// sold-out order fewer {"left":1}
	// /cuont the function knows no member "cuont"
}

// A service with many ShareData reads their ids page by page.
func ExampleManager_List() {
	manager, err := sharedata.NewManager(&sharedata.Options{Kinds: []sharedata.Kind{sharedata.NewKind("room")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	ctx := context.Background()
	for _, id := range []string{"room/3", "room/1", "lobby", "room/2"} {
		if _, err := manager.EnsureKind(ctx, id, "room", nil); err != nil {
			fmt.Println(err)
			return
		}
	}

	page := sharedata.ListOptions{Prefix: "room/", Limit: 2}
	for {
		ids, err := manager.List(ctx, &page)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ids)
		if len(ids) < page.Limit {
			return
		}
		page.After = ids[len(ids)-1]
	}

	// Output:
	// [room/1 room/2]
	// [room/3]
}
