package realtime

import (
	"context"
	"strings"
	"testing"

	"github.com/safe-go/safe/internal/wire"
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
	propose("large", strings.Repeat("x", pageBytes/2), 5)
	for id, want := range map[string]int{"many": pageEntries, "large": 2, "none": 0} {
		at, err := manager.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		after := replay.Cursor{Epoch: at.Cursor.Epoch, Revision: 1}
		p, err := pagesOf(manager, id).readPage(t.Context(), &wire.Subscribe{ShareDataID: id, ReplayLifecycle: true}, form{}, after, at.Cursor)
		if err != nil || len(p.frames) != want || p.last.Revision != 1+uint64(want) {
			t.Errorf("%s: %d frames up to %v, want %d; %v", id, len(p.frames), p.last, want, err)
		}
	}
}

// pagesOf returns a channel that has read no page.
func pagesOf(manager *sharedata.Manager, id string) *channel {
	return newChannel(&hub{manager: manager}, id)
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
	if p, err := pagesOf(manager, "c").readPage(t.Context(), &wire.Subscribe{ShareDataID: "c", ReplayLifecycle: true}, form{}, replay.Cursor{}, replay.Cursor{Epoch: 1, Revision: 9}); err == nil || len(p.frames) != 0 {
		t.Errorf("got %d frames and %v", len(p.frames), err)
	}
}

// The store may hold entries that observers have not been notified of.
func TestPage_EndsAtPosition(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	at, err := manager.Create(t.Context(), "c", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if _, err := manager.Update(t.Context(), "c", 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, lifecycle := range []bool{true, false} {
		upTo := replay.Cursor{Epoch: at.Cursor.Epoch, Revision: 4}
		p, err := pagesOf(manager, "c").readPage(t.Context(), &wire.Subscribe{ShareDataID: "c", ReplayLifecycle: lifecycle}, form{}, at.Cursor, upTo)
		want := 0 // updates are replayed to those who ask
		if lifecycle {
			want = 3
		}
		if err != nil || p.last != upTo || len(p.frames) != want {
			t.Errorf("%d frames up to %v, %v; want %d up to %v", len(p.frames), p.last, err, want, upTo)
		}
	}
}

func TestPageChunk(t *testing.T) {
	p := page{frames: []*frame{textFrame(strings.Repeat("x", 10)), textFrame(strings.Repeat("x", 20)), textFrame(strings.Repeat("x", 30))}}
	for most, want := range map[int]int{0: 1, 29: 1, 30: 2, 59: 2, 60: 3, 100: 3} {
		if got := p.chunk(most, unlimited); got != want {
			t.Errorf("%d bytes: %d frames, want %d", most, got, want)
		}
	}
}
