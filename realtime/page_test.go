package realtime

import (
	"context"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

func TestPageBounds(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	keep := sharedata.NewFunction("keep", func(_ context.Context, n int, _ string) (int, error) { return n + 1, nil })
	for _, id := range []string{"many", "large", "none"} {
		if _, err := manager.Create(t.Context(), id, 0, keep); err != nil {
			t.Fatal(err)
		}
	}
	propose := func(id, data string, n int) {
		for range n {
			if _, err := manager.Propose(t.Context(), sharedata.Proposal{ShareDataID: id, FunctionID: "keep", Data: data}); err != nil {
				t.Fatal(err)
			}
		}
	}
	propose("many", "", pageEntries+1)
	propose("large", strings.Repeat("x", pageDataBytes/2), 5)
	for id, want := range map[string]int{"many": pageEntries, "large": 2, "none": 0} {
		at, err := manager.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		after := replay.Cursor{Epoch: at.Cursor.Epoch, Revision: 1}
		p, err := readPage(t.Context(), manager, id, after, at.Cursor, true)
		if err != nil || len(p.frames) != want || p.last.Revision != 1+uint64(want) {
			t.Errorf("%s: %d frames up to %v, want %d; %v", id, len(p.frames), p.last, want, err)
		}
	}
}

func TestPage_Hole(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	if _, err := manager.Create(t.Context(), "c", 0); err != nil {
		t.Fatal(err)
	}
	// The zero cursor reads from the first entry, which cannot be replayed.
	if p, err := readPage(t.Context(), manager, "c", replay.Cursor{}, replay.Cursor{Epoch: 1, Revision: 9}, true); err == nil || len(p.frames) != 0 {
		t.Errorf("got %d frames and %v", len(p.frames), err)
	}
}
