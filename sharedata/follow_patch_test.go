package sharedata_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/safe-go/safe/internal/sharedstore"
	"github.com/safe-go/safe/sharedata"
)

func ensureItems(t *testing.T, n node) sharedata.Snapshot {
	t.Helper()
	snapshot, err := n.Ensure(t.Context(), "x", items(100), renameItem)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func proposeRename(t *testing.T, n node, item, text string) sharedata.Verdict {
	t.Helper()
	verdict, err := n.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "rename", Data: rename{item, text}})
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

// Processes that apply each other's patches hold the same bytes, and their observers
// get the patches.
func TestFollow_Patches(t *testing.T) {
	shared := sharedstore.New()
	a, b := newNode(t, shared.Process(), nil), newNode(t, shared.Process(), nil)
	ensureItems(t, a)
	ensureItems(t, b)
	events := make(chan sharedata.Event, 100)
	_, stop, err := b.Observe(t.Context(), "x", sharedata.ObserverFunc(func(all []sharedata.Event) {
		for _, e := range all {
			events <- e
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for i := range 60 {
		n := a
		if i%7 == 0 {
			n = b
		}
		proposeRename(t, n, fmt.Sprint("item-", i*2), fmt.Sprintf("%080d", i)) // the last ones are rejected
		event := <-events
		want, err := a.StateAt(t.Context(), "x", event.Cursor)
		switch {
		case err != nil:
			t.Fatal(err)
		case event.Reset || !bytes.Equal(event.State, want) || event.StateHash != sharedata.HashState(want):
			t.Fatalf("event %s has another state", event.Cursor)
		case event.Accepted != (event.Patch != nil) || event.NewState != nil:
			t.Fatalf("event %s has the patch %s", event.Cursor, event.Patch)
		}
	}
}
