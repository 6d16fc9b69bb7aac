package bolt_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

// A history is written and the file is closed. The next Open continues where it
// was. A reader that has kept a cursor gets what came after it.
func Example() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "histories.db")

	ctx := context.Background()
	first := replay.Cursor{Epoch: replay.NewEpoch(0), Revision: 1}
	store, err := bolt.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Append(ctx, "counter", replay.Batch{
		Entries:  []replay.Entry{{Cursor: first, Data: []byte("created")}},
		Snapshot: []byte("0"),
	}); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	store, err = bolt.Open(path, &bolt.Options{MaxEntries: 10_000})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	head, err := store.Load(ctx, "counter", replay.Cursor{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("after reopening: revision %d, state %s at revision %d\n", head.Cursor.Revision, head.Snapshot, head.SnapshotRevision)
	if err := store.Append(ctx, "counter", replay.Batch{
		Expect:  head.Cursor,
		Entries: []replay.Entry{{Cursor: head.Cursor.Next(), Data: []byte("add 1")}},
	}); err != nil {
		log.Fatal(err)
	}
	entries, err := store.Read(ctx, "counter", first, 100)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries {
		fmt.Printf("%d: %s\n", entry.Cursor.Revision, entry.Data)
	}
	// Output:
	// after reopening: revision 1, state 0 at revision 1
	// 2: add 1
}

// A backup is taken while the store is in use.
func ExampleStore_WriteTo() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	store, err := bolt.Open(filepath.Join(folder, "histories.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	backup, err := os.Create(filepath.Join(folder, "backup.db"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.WriteTo(backup); err != nil {
		log.Fatal(err)
	}
	if err := backup.Sync(); err != nil {
		log.Fatal(err)
	}
	if err := backup.Close(); err != nil {
		log.Fatal(err)
	}

	fmt.Println("damage in the backup:", bolt.Check(backup.Name()))
	// Output: damage in the backup: <nil>
}
