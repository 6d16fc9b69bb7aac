package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/safe-go/safe/replay"
)

// Two writers decide the same revision of one history. One of them is refused,
// sees what it missed, and decides again. A reader who knows a cursor gets what
// came after it.
func Example() {
	ctx := context.Background()
	store, err := replay.NewMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	batch := func(expect, first replay.Cursor, data, state string) replay.Batch {
		entry := replay.Entry{Cursor: first, Data: []byte(data), State: []byte(state)}
		return replay.Batch{Expect: expect, Entries: []replay.Entry{entry}}
	}

	created := replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1}
	if err := store.Append(ctx, "counter", batch(replay.Cursor{}, created, "created", "0")); err != nil {
		log.Fatal(err)
	}

	// Both saw the head at the first revision.
	if err := store.Append(ctx, "counter", batch(created, created.Next(), "add 1", "1")); err != nil {
		log.Fatal(err)
	}
	err = store.Append(ctx, "counter", batch(created, created.Next(), "add 10", "10"))
	if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
		fmt.Printf("refused; missed %q\n", conflict.Missed[0].Data)
		err = store.Append(ctx, "counter", batch(conflict.Head, conflict.Head.Next(), "add 10", "11"))
	}
	if err != nil {
		log.Fatal(err)
	}

	entries, err := store.Read(ctx, "counter", created, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries {
		fmt.Printf("%d: %s makes it %s\n", entry.Cursor.Revision, entry.Data, entry.State)
	}

	_, err = store.Read(ctx, "counter", replay.Cursor{Epoch: created.Epoch - 1, Revision: 1}, 100)
	fmt.Println("a cursor from before a restart:", errors.Is(err, replay.ErrUnknownEpoch))
	// Output:
	// refused; missed "add 1"
	// 2: add 1 makes it 1
	// 3: add 10 makes it 11
	// a cursor from before a restart: true
}
