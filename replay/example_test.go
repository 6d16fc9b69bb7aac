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

	batch := func(expect, first replay.Cursor, data string) replay.Batch {
		return replay.Batch{Expect: expect, Entries: []replay.Entry{{Cursor: first, Data: []byte(data)}}}
	}

	created := replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1}
	first := batch(replay.Cursor{}, created, "created")
	first.Snapshot = []byte("0") // the state after the entries
	if err := store.Append(ctx, "counter", first); err != nil {
		log.Fatal(err)
	}

	// Both saw the head at the first revision.
	if err := store.Append(ctx, "counter", batch(created, created.Next(), "add 1")); err != nil {
		log.Fatal(err)
	}
	err = store.Append(ctx, "counter", batch(created, created.Next(), "add 10"))
	if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
		fmt.Printf("refused; missed %q\n", conflict.Missed[0].Data)
		err = store.Append(ctx, "counter", batch(conflict.Head, conflict.Head.Next(), "add 10"))
	}
	if err != nil {
		log.Fatal(err)
	}

	// The newest snapshot and the entries after it lead to the newest state.
	head, err := store.Load(ctx, "counter", replay.Cursor{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: the state is %s\n", head.SnapshotRevision, head.Snapshot)
	entries, err := store.Read(ctx, "counter", created, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries {
		fmt.Printf("%d: %s\n", entry.Cursor.Revision, entry.Data)
	}

	_, err = store.Read(ctx, "counter", replay.Cursor{Epoch: created.Epoch - 1, Revision: 1}, 100)
	fmt.Println("a cursor from before a restart:", errors.Is(err, replay.ErrUnknownEpoch))
	// Output:
	// refused; missed "add 1"
	// 1: the state is 0
	// 2: add 1
	// 3: add 10
	// a cursor from before a restart: true
}
