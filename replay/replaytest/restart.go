package replaytest

import (
	"fmt"
	"math"

	"github.com/safe-go/safe/replay"
)

func restarts(f *fixture) {
	h := f.open()
	other := h.started("other", keyed("key")...)
	want := h.grown("id", 5)
	for i, entries := range [][]replay.Entry{
		contents("one"),
		contents("a", "b"),
		many("many ", 20),
		keyed("key c"),
	} {
		before := *want
		batch := expecting(want.meta, want.restart(firstEpoch+1+uint64(i), entries...))
		batch.Meta = fmt.Append(nil, "meta ", i)
		if oldest := h.commit("id", want, batch); oldest != 1 {
			h.Errorf("oldest is %d after a restart; want 1", oldest)
		}
		h.holds("id", want)
		h.sameIDs("id", "other")
		for _, after := range []replay.Cursor{before.at(0), before.at(1), before.head(), before.head().Next(), {Epoch: firstEpoch}} {
			h.readRefused("id", want, after, replay.ErrUnknownEpoch, 1)
			h.moved("id", want, follow(after, contents("lost")...))
		}
		h.moved("id", want, batch)
		h.moved("id", want, start(want.head().Epoch+1, contents("lost")...))
		h.commit("id", want, want.next(many("then ", 1+i)...))
		h.holds("id", want)
	}
	h.holds("other", other)
	h.sameEntries("Find in the other history", h.find("other", "key"), other.entries)

	// A batch may restart a history and remove it. The id has had all epochs
	// that the history had.
	h.commit("id", want, removing(want.restart(firstEpoch+9, keyed("d")...)))
	h.holdsNothing("id", want)
	h.sameIDs("other")
	for epoch := range uint64(10) {
		h.refused(replay.ConflictRemoved, "id", want, newKeys(start(firstEpoch+epoch, contents("lost")...)))
	}
	h.commit("id", want, newKeys(start(firstEpoch+10, keyed("key c", "x")...)))
	h.holds("id", want)
	h.sameEntries("Find of keys from before the removal", h.find("id", "a", "b", "key c", "d"), want.entries[:1])
}

func findsEarlierKeys(f *fixture) {
	h := f.open()
	want := h.started("id", keyed("a", "b", "", "everywhere", "early")...)
	h.commit("id", want, want.restart(firstEpoch+1, keyed("c", "everywhere", "early")...))
	h.commit("id", want, want.restart(firstEpoch+2, keyed("d")...))
	h.commit("id", want, want.next(keyed("everywhere", "")...))
	keys := []string{"a", "b", "c", "d", "everywhere", "early", "", "absent"}
	agree := func() {
		h.Helper()
		found := h.finds("id", want, 1, keys...)
		for _, key := range keys {
			h.sameEntries("Find of one key", h.finds("id", want, 1, key), carriers(found, key))
		}
	}
	agree()
	if f.harness.Reopen != nil {
		h = f.reopen(h)
		agree()
	}
	// Append knows a key exactly if Find finds it.
	for _, key := range []string{"a", "b", "c", "early", "absent"} {
		batch := newKeys(want.next(keyed("new "+key, key)...))
		if known := h.finds("id", want, 1, key); len(known) > 0 {
			h.refused(replay.ConflictKnownKeys, "id", want, batch, known...)
			batch.NewKeys = false
		}
		h.commit("id", want, batch)
		h.holds("id", want)
		agree()
	}
	h.commit("id", want, want.end())
	h.sameEntries("Find in a removed history", h.find("id", keys...), nil)
	h.commit("id", want, newKeys(start(firstEpoch+3, keyed("d")...)))
	h.commit("id", want, newKeys(want.next(keyed("a", "b", "c", "everywhere", "early")...)))
	h.sameEntries("Find of keys that are used again", h.find("id", keys...), want.entries)
}

func restartsTrimmed(f *fixture) {
	h := f.openBounded(4)
	want, oldest := h.trimmed("id", 4)
	keys := []string{"key 0", "key 1"}
	for range 3 {
		for _, entries := range [][]replay.Entry{keyed(keys...), many("entry ", 3)} {
			oldest = h.commit("id", want, want.restart(want.head().Epoch+1, entries...))
			h.agrees("id", want, oldest, 4)
			h.finds("id", want, oldest, keys...)
		}
		// What is from before the restart is trimmed first.
		for oldest <= 5 {
			h.mustTrim(want, 4, 5)
			oldest = h.commit("id", want, withSnapshot(want.next(many(fmt.Sprint(len(want.entries), " "), 3)...)))
			h.agrees("id", want, oldest, 4)
		}
		h.sameEntries("Find of keys from before what was trimmed", h.find("id", keys...), nil)
		oldest = h.commit("id", want, newKeys(want.next(keyed(keys...)...)))
		h.agrees("id", want, oldest, 4)
	}
}

// similarEpochs returns ascending epochs that a store might confuse, by what they
// are.
func similarEpochs() map[string][]uint64 {
	return map[string][]uint64{
		"small":        {1, 2, 9, 10, 11, 99, 100},
		"beyond 2^53":  {1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<53 + 2},
		"around 2^63":  {1<<63 - 1, 1 << 63, 1<<63 + 1},
		"the largest":  {math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64},
		"more figures": {9_999_999_999_999_999_999, 10_000_000_000_000_000_000, 10_000_000_000_000_000_001},
	}
}

func comparesEpochs(f *fixture) {
	h := f.open()
	for name, epochs := range similarEpochs() {
		for _, restart := range []bool{false, true} {
			id, want := fmt.Sprint(name, restart), &history{}
			for i, epoch := range epochs {
				batch := start(epoch, many("entry ", 3)...)
				switch {
				case restart:
					batch.Expect = want.head()
				case i > 0:
					h.commit(id, want, want.end())
					for _, earlier := range epochs[:i] {
						h.refused(replay.ConflictRemoved, id, want, start(earlier, contents("lost")...))
					}
				}
				h.commit(id, want, batch)
				h.holds(id, want)
				for _, other := range epochs {
					if other != epoch {
						h.readRefused(id, want, replay.Cursor{Epoch: other, Revision: 2}, replay.ErrUnknownEpoch, 1)
						h.moved(id, want, follow(replay.Cursor{Epoch: other, Revision: 3}, contents("lost")...))
					}
				}
			}
		}
	}
}
