package replaytest

import (
	"math"

	"github.com/safe-go/safe/replay"
)

func replacesSnapshot(f *fixture) {
	h := f.open()
	other := h.started("other")
	want := h.started("id", many("first ", 3)...)
	for i, blob := range blobs() {
		h.commit("id", want, want.next(many("without ", 1+i%3)...))
		h.holds("id", want)
		batch := want.next(many("with ", 1+i%4)...)
		if i%5 == 4 {
			batch = want.restart(want.head().Epoch+1, many("again ", 1+i%4)...)
		}
		batch.Snapshot = blob
		h.commit("id", want, batch)
		h.holds("id", want)
	}
	h.commit("id", want, want.end())
	h.commit("id", want, start(want.head().Epoch+1, contents("new")...))
	h.holds("id", want)
	h.holds("other", other)
}

func leavesSnapshotOut(f *fixture) {
	h := f.open()
	want := h.started("id", many("first ", 3)...)
	for range 2 {
		h.commit("id", want, withSnapshot(want.next(many("second ", 3)...)))
		h.commit("id", want, want.next(many("third ", 3)...))
		h.commit("id", want, want.next(contents("last")...))
		head := want.head()
		haves := []replay.Cursor{{}, {Revision: want.snapshotAt}, {Revision: head.Revision}}
		for _, epoch := range []uint64{1, head.Epoch - 1, head.Epoch, head.Epoch + 1, math.MaxUint64} {
			for revision := range head.Revision + 4 {
				haves = append(haves, replay.Cursor{Epoch: epoch, Revision: revision})
			}
			haves = append(haves, replay.Cursor{Epoch: epoch, Revision: 1 << 62}, replay.Cursor{Epoch: epoch, Revision: math.MaxUint64})
		}
		for _, have := range haves {
			h.sameHead("id", have, h.loadFor("id", have), want, 1)
		}
		// The revisions of an earlier epoch must not count in a later one.
		h.commit("id", want, want.restart(head.Epoch+1, many("again ", 2)...))
	}
}
