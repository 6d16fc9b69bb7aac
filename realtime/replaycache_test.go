package realtime

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// What a cache returns is what was read, whatever was read before and is forgotten, and
// what it counts is what it keeps.
func TestReplayCache_Random(t *testing.T) {
	all := make(map[replay.Cursor]*frame)
	entriesOf := func(epoch, after, upTo uint64) (entries []replayedEntry) {
		for revision := after + 1; revision <= upTo; revision++ {
			at := replay.Cursor{Epoch: epoch, Revision: revision}
			if all[at] == nil {
				all[at] = &frame{about: &nothing, text: append([]byte(at.String()), make([]byte, revision%7*3000)...)}
			}
			entries = append(entries, replayedEntry{frame: all[at], update: revision%5 == 0})
		}
		return entries
	}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var total atomic.Int64
		c := replayCache{total: &total}
		epoch, head, hits := uint64(1), uint64(1), 0
		for range 500 {
			switch random.IntN(50) {
			case 0:
				epoch, head = epoch+1, 1
			case 1:
				c.close()
				c.closed = false // as that of a new channel
			}
			head += random.Uint64N(3)
			after := replay.Cursor{Epoch: epoch, Revision: head - random.Uint64N(min(head, 60))}
			upTo := replay.Cursor{Epoch: epoch, Revision: head}
			if random.IntN(20) == 0 {
				after.Epoch, upTo.Epoch = epoch-1, epoch-1 // a subscriber that read the position before
			}
			f := allForms[random.IntN(len(allForms))]
			found := c.find(f, after, upTo)
			if len(found) == 0 {
				c.add(f, after, entriesOf(after.Epoch, after.Revision, upTo.Revision))
				continue
			}
			hits++
			want := entriesOf(after.Epoch, after.Revision, min(upTo.Revision, after.Revision+uint64(len(found))))
			if len(found) != len(want) {
				t.Fatalf("seed %d: %d entries after %s, want %d", seed, len(found), after, len(want))
			}
			for i := range found {
				if found[i].frame != want[i].frame || found[i].update != want[i].update {
					t.Fatalf("seed %d: after %s comes %.20s, want %.20s", seed, after, found[i].frame.text, want[i].frame.text)
				}
			}
		}
		kept := 0
		for f := range c.runs {
			for _, e := range c.runs[f].entries {
				kept += e.frame.size()
			}
			if c.runs[f].bytes > maxReplayRunBytes {
				t.Errorf("seed %d: a run has %d bytes", seed, c.runs[f].bytes)
			}
		}
		if int64(kept) != total.Load() || hits == 0 {
			t.Errorf("seed %d: %d bytes are kept, %d are counted; %d hits", seed, kept, total.Load(), hits)
		}
		if c.close(); total.Load() != 0 {
			t.Errorf("seed %d: %d bytes are counted of an empty cache", seed, total.Load())
		}
	}
}

// The frames that a subscription reads after its channel was given back, as it may at
// the end of its connection, are not counted: nobody would subtract them.
func TestReplayCache_ReadAfterRelease(t *testing.T) {
	manager, err := sharedata.NewManager(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	at, err := manager.Create(t.Context(), "c", 1)
	if err != nil {
		t.Fatal(err)
	}
	head, err := manager.Update(t.Context(), "c", 2)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{manager: manager}
	c := newChannel(h, "c")
	c.holders = 1
	h.release(c)
	p, err := c.readPage(t.Context(), &wire.Subscribe{ShareDataID: "c", ReplayLifecycle: true}, form{}, at.Cursor, head.Cursor)
	if err != nil || len(p.frames) != 1 || h.replayBytes.Load() != 0 {
		t.Errorf("%d frames, %d bytes are counted, %v", len(p.frames), h.replayBytes.Load(), err)
	}
}
