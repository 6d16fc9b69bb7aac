package torture_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/safe-go/safe/internal/torture"
)

// A server on a file is killed ten times while eight clients use it.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server, err := torture.Build(dir, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	report, err := torture.Run(ctx, torture.Options{
		Server: server, Dir: dir, Store: torture.StoreBolt, Seed: 1, Clients: 8, Kills: 10,
	})
	if err != nil {
		fmt.Println("the run cannot be judged:", err)
		return
	}
	fmt.Println(report) // what happened, and which promises were broken
}
