package realtime_test

import (
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
)

// Subscribers that return together are replayed what one of them had read: the store is
// not asked again.
func TestReplay_ReadOnce(t *testing.T) {
	store := newFailingStore(t, nil)
	ts := serveStore(t, store, nil)
	ts.createPadded("c", 1<<10)
	at, err := ts.manager.Get(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	first := at.Cursor
	peers := []*peer{ts.dial(), ts.dial(), ts.dial()}
	peers[0].subscribePatches("c", "", "")
	for range 10 {
		peers[0].propose("c", "add", `{"by":1}`, "1")
		want[*wire.Transaction](peers[0])
		want[*wire.ProposalResult](peers[0])
	}
	for i, p := range peers {
		since := replay.Cursor{Epoch: first.Epoch, Revision: first.Revision + uint64(i)} // ever fewer
		state := p.subscribePatches("c", since.String(), "")
		if !state.Resumed || state.CurrentState != nil || state.Replaying != uint64(10-i) {
			t.Fatalf("peer %d: %s", i, state.AppendTo(nil))
		}
		for revision := since.Revision + 1; revision <= first.Revision+10; revision++ {
			if tx := want[*wire.Transaction](p); tx.Revision != revision || !tx.Replayed || tx.Patch == nil {
				t.Fatalf("peer %d: %s", i, tx.AppendTo(nil))
			}
		}
		store.failRead.Store(true)
	}
}
