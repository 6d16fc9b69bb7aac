// This program wrote format2.db.gz, run with the package replay/bolt of commit
// f6cd6de, the last one that writes format 2:
//
//	go run ./replay/bolt/testdata/format2 format2.db && gzip -9n format2.db
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/replay/bolt"
)

type writer struct {
	store *bolt.Store
	heads map[string]replay.Cursor
}

// append appends one entry with some data, a key, and a state if there is one.
func (w *writer) append(id string, epoch uint64, state string, remove bool) {
	before := w.heads[id]
	at := before.Next()
	if before.Epoch != epoch {
		at = replay.Cursor{Epoch: epoch, Revision: 1}
	}
	entry := replay.Entry{Cursor: at, Key: "key " + at.String(), Data: fmt.Appendf(nil, "data of %s at %s", id, at)}
	if state != "" {
		entry.State = fmt.Appendf(nil, "state %s of %s at %s", state, id, at)
	}
	batch := replay.Batch{Expect: before, Entries: []replay.Entry{entry}, Meta: []byte("meta " + at.String()), Remove: remove}
	if err := w.store.Append(context.Background(), id, batch); err != nil {
		log.Fatal(err)
	}
	w.heads[id] = at
}

func (w *writer) open(path string, options *bolt.Options) {
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			log.Fatal(err)
		}
	}
	var err error
	if w.store, err = bolt.Open(path, options); err != nil {
		log.Fatal(err)
	}
}

func main() {
	path := os.Args[1]
	w := &writer{heads: make(map[string]replay.Cursor)}
	w.open(path, nil)
	for _, state := range []string{"A", "B", "", "C"} {
		w.append("changed", 7, state, false)
	}
	for _, state := range []string{"A", "B", "", "", ""} {
		w.append("rejected", 7, state, false)
	}
	for _, state := range []string{"A", "B", ""} {
		w.append("restarted", 7, state, false)
	}
	for _, state := range []string{"C", ""} {
		w.append("restarted", 9, state, false)
	}
	for range 2 {
		w.append("stateless", 7, "", false)
	}
	w.append("removed", 7, "A", false)
	w.append("removed", 7, "", true)
	w.open(path, &bolt.Options{MaxEntries: 3})
	for _, state := range []string{"A", "B", "", "", "", "", ""} {
		w.append("trimmed", 7, state, false)
	}
	if err := w.store.Close(); err != nil {
		log.Fatal(err)
	}
}
