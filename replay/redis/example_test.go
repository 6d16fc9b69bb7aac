package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	goredis "github.com/redis/go-redis/v9"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/redis"
)

// Two processes share a server. One follows a history, the other appends to it.
// This example needs a server to run.
func Example() {
	ctx := context.Background()
	open := func() *redis.Store {
		client := goredis.NewUniversalClient(&goredis.UniversalOptions{
			Addrs:                 []string{"localhost:6379"},
			ContextTimeoutEnabled: true,
		})
		store, err := redis.New(client, &redis.Options{Logger: slog.Default()})
		if err != nil {
			log.Fatal(err)
		}
		return store
	}
	here, there := open(), open()
	defer here.Close()
	defer there.Close()

	stop := there.Follow("counter", func(entries []replay.Entry) {
		if entries == nil {
			fmt.Println("something may have been missed: use Load and Read")
		}
		for _, entry := range entries {
			fmt.Printf("%s: %s\n", entry.Cursor, entry.Data)
		}
	})
	defer stop()

	first := replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1}
	err := here.Append(ctx, "counter", replay.Batch{
		Entries:  []replay.Entry{{Cursor: first, Data: []byte("created")}},
		Snapshot: []byte("0"),
	})
	switch {
	case errors.Is(err, replay.ErrConflict):
		fmt.Println("another process was first")
	case errors.Is(err, replay.ErrUnavailable):
		fmt.Println("try again later:", err)
	case err != nil:
		log.Fatal(err)
	}
}

// With a replica that must have every batch before it is acknowledged, and of
// each history the last thousand entries.
func ExampleNew() {
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName:            "master",
		SentinelAddrs:         []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	store, err := redis.New(client, &redis.Options{
		Prefix:       "my-service:",
		MaxEntries:   1000,
		WaitReplicas: 1,
		Logger:       slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close() // before the client
	fmt.Println("the servers need not be there yet")
	// Output: the servers need not be there yet
}
