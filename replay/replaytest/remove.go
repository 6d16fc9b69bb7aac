package replaytest

import (
	"github.com/safe-go/safe/replay"
)

func removes(f *fixture) {
	h := f.open()
	other := h.started("other", keyed("key")...)
	want := h.started("id", keyed("key", "", "key 3")...)
	h.sameIDs("id", "other")
	h.commit("id", want, removing(want.next(keyed("", "key 5")...)))
	h.holdsNothing("id", want)
	h.sameIDs("other")

	// A batch may start a history and remove it.
	h.commit("id", want, removing(start(firstEpoch+1, keyed("a", "b")...)))
	h.holdsNothing("id", want)
	short := &history{}
	h.commit("short", short, removing(withoutSnapshot(start(firstEpoch, keyed("a", "b")...))))
	h.holdsNothing("short", short)
	h.sameIDs("other")
	h.commit("short", short, start(firstEpoch+1, contents("a")...))
	h.holds("short", short)
	h.holds("other", other)
	h.sameEntries("Find in the other history", h.find("other", "key"), other.entries)
}

func startsInLaterEpoch(f *fixture) {
	h := f.open()
	want := &history{}
	batch := start(firstEpoch, keyed("a", "b", "c")...)
	for range 3 {
		batch.Meta = []byte("old meta")
		h.commit("id", want, batch)
		h.commit("id", want, removing(want.next(keyed("d")...)))
		before := want.head()
		for _, refused := range []uint64{before.Epoch, before.Epoch - 1, before.Epoch - 7, 1} {
			h.refused(replay.ConflictRemoved, "id", want, start(refused, contents("lost", "lost")...))
			h.refused(replay.ConflictRemoved, "id", want, removing(start(refused, many("lost ", 4)...)))
		}
		h.holdsNothing("id", want)

		// The refusal has what is needed to start, and nothing returns.
		conflict := h.refused(replay.ConflictRemoved, "id", want, start(before.Epoch, contents("lost")...))
		h.commit("id", want, start(replay.NewEpoch(conflict.Head.Epoch), contents("new")...))
		h.holds("id", want)
		h.moved("id", want, start(want.head().Epoch+1, contents("lost")...))
		h.sameEntries("Find of keys of an earlier epoch", h.find("id", "a", "b", "c", "d"), nil)
		for revision := range uint64(6) {
			h.readRefused("id", want, replay.Cursor{Epoch: before.Epoch, Revision: revision}, replay.ErrUnknownEpoch, 1)
			h.moved("id", want, follow(replay.Cursor{Epoch: before.Epoch, Revision: max(revision, 1)}, contents("lost")...))
		}
		h.commit("id", want, want.next(keyed("b", "x")...))
		h.sameEntries("Find of a key that is used again", h.find("id", "a", "b", "c"), want.entries[1:2])
		h.holds("id", want)
		batch = withSnapshot(want.next(batch.Entries...))
	}
}
