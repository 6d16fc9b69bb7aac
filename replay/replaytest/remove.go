package replaytest

import (
	"errors"
	"math"

	"github.com/safe-go/safe/replay"
)

func removedIsGone(f *fixture) {
	s := f.open()
	other := s.started("other", keyed("key")...)
	want := s.started("id", keyed("key", "", "key 3")...)
	s.sameIDs([]string{"id", "other"})

	want.add(removing(want.next(keyed("", "key 5")...)))
	s.append("id", removing(follow(want.at(3), want.entries[3:]...)))

	s.removed("id", want)
	s.sameIDs([]string{"other"})
	s.holds("other", other)
	s.sameEntries("Find in the other history", s.find("other", "key"), other.entries)
}

// removed checks that nothing is left of a history.
func (s *subject) removed(id string, last *history) {
	s.Helper()
	s.holdsNothing(id)
	for _, after := range []replay.Cursor{last.zero(), last.at(1), last.head(), last.head().Next(), {}} {
		if entries, err := s.store.Read(s.ctx, id, after, all); !errors.Is(err, replay.ErrNotFound) || len(entries) > 0 {
			s.Errorf("Read of the removed %.40q after %s: %d entries, error %v; want ErrNotFound", id, after, len(entries), err)
		}
	}
	var keys []string
	for _, entry := range last.entries {
		keys = append(keys, entry.Key)
	}
	s.sameEntries("Find in a removed history", s.find(id, keys...), nil)

	head := last.head()
	for _, expect := range []replay.Cursor{head, last.at(head.Revision - 1), head.Next(), {Epoch: head.Epoch + 1, Revision: 1}} {
		if expect.Revision > 0 {
			s.conflictRemoved(id, head, follow(expect, contents("lost")...))
			s.conflictRemoved(id, head, removing(follow(expect, contents("lost")...)))
		}
	}
}

func startsInLaterEpoch(f *fixture) {
	s := f.open()
	want := s.started("id", many("entry ", 2)...)
	for range 5 {
		epoch := want.head().Epoch
		want.add(removing(want.next(contents("the end")...)))
		s.append("id", removing(follow(want.at(2), want.entries[2:]...)))
		for _, refused := range []uint64{epoch, epoch - 1, epoch - 7, 1} {
			s.conflictRemoved("id", want.head(), start(refused, contents("lost", "lost")...))
			s.conflictRemoved("id", want.head(), removing(start(refused, contents("lost", "lost", "lost", "lost")...)))
			s.holdsNothing("id")
		}
		// What the refusal says is enough to do it right.
		conflict := s.conflict("id", start(epoch, contents("lost")...))
		want = &history{}
		s.commit("id", want, start(replay.NewEpoch(conflict.Head.Epoch), contents("again", "and again")...))
		s.holds("id", want)
		s.conflictAt("id", want, start(want.head().Epoch+1, contents("lost")...))
	}
}

func nothingComesBack(f *fixture) {
	s := f.open()
	earlier := &history{}
	batch := start(firstEpoch,
		replay.Entry{Data: []byte("a"), State: []byte("old state"), Key: "a"},
		replay.Entry{Data: []byte("b"), State: []byte("older than none"), Key: "b"},
		replay.Entry{Data: []byte("c"), Key: "c"})
	batch.Meta = []byte("old meta")
	s.commit("id", earlier, batch)
	s.append("id", removing(earlier.next(keyed("d")...)))

	want := &history{}
	s.commit("id", want, start(firstEpoch+1, contents("new")...))
	s.holds("id", want)
	s.sameEntries("Find of keys of an earlier epoch", s.find("id", "a", "b", "c", "d"), nil)
	for revision := range uint64(6) {
		s.readRefused("id", replay.Cursor{Epoch: firstEpoch, Revision: revision}, replay.ErrUnknownEpoch, want.head(), 1)
		s.conflictAt("id", want, follow(replay.Cursor{Epoch: firstEpoch, Revision: max(revision, 1)}, contents("lost")...))
	}
	s.commit("id", want, want.next(keyed("b", "x")...))
	s.sameEntries("Find of a key that is used again", s.find("id", "a", "b", "c"), want.entries[1:2])
	s.holds("id", want)
}

func startsAndEnds(f *fixture) {
	s := f.open()
	batch := removing(start(firstEpoch, keyed("a", "b")...))
	s.append("id", batch)
	s.removed("id", &history{entries: batch.Entries})
	s.sameIDs(nil)
	s.conflictRemoved("id", batch.Last(), start(firstEpoch, contents("lost")...))

	batch = removing(start(firstEpoch+1, keyed("a")...))
	s.append("id", batch)
	s.removed("id", &history{entries: batch.Entries})

	want := &history{}
	s.commit("id", want, start(firstEpoch+2, contents("a")...))
	s.holds("id", want)
}

// closeEpochs returns rising epochs that a store might take for one another, by
// what they are.
func closeEpochs() map[string][]uint64 {
	return map[string][]uint64{
		"small":        {1, 2, 9, 10, 11, 99, 100},
		"beyond 2^53":  {1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<53 + 2},
		"around 2^63":  {1<<63 - 1, 1 << 63, 1<<63 + 1},
		"the largest":  {math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64},
		"more figures": {9_999_999_999_999_999_999, 10_000_000_000_000_000_000, 10_000_000_000_000_000_001},
	}
}

func comparesEpochsExactly(f *fixture) {
	s := f.open()
	for id, epochs := range closeEpochs() {
		for i, epoch := range epochs {
			want := &history{}
			s.commit(id, want, start(epoch, many("entry ", 3)...))
			s.holds(id, want)
			for _, other := range epochs {
				if other != epoch {
					s.readRefused(id, replay.Cursor{Epoch: other, Revision: 2}, replay.ErrUnknownEpoch, want.head(), 1)
					s.conflictAt(id, want, follow(replay.Cursor{Epoch: other, Revision: 3}, contents("lost")...))
				}
			}
			s.append(id, removing(want.next(contents("the end")...)))
			for _, earlier := range epochs[:i+1] {
				s.conflictRemoved(id, want.head().Next(), start(earlier, contents("lost")...))
			}
		}
	}
}
