package schedule_test

import (
	"context"
	"fmt"
	"time"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/schedule"
)

func Example() {
	manager, err := sharedata.NewManager(nil) // set Store to one that outlives the process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	closed := make(chan string, 1)
	closeFunction := sharedata.NewFunction("close", func(_ context.Context, open bool, by string) (bool, error) {
		closed <- by
		return false, nil
	})
	if _, err := manager.Ensure(ctx, "auction", true, closeFunction); err != nil {
		fmt.Println(err)
		return
	}

	scheduler, err := schedule.New(manager, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- scheduler.Run(ctx) }()

	_, err = scheduler.Schedule(ctx, schedule.Proposal{
		At: time.Now().Add(50 * time.Millisecond), ShareDataID: "auction", FunctionID: "close", Data: "the clock",
	})
	later, _ := scheduler.Schedule(ctx, schedule.Proposal{
		At: time.Now().Add(time.Hour), ShareDataID: "auction", FunctionID: "close", Data: "nobody",
	})
	fmt.Println("scheduled:", err == nil)
	fmt.Println("cancelled:", scheduler.Cancel(ctx, later) == nil)
	fmt.Println("closed by", <-closed)
	cancel()
	<-ended

	// Output:
	// scheduled: true
	// cancelled: true
	// closed by the clock
}
