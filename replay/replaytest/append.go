package replaytest

import (
	"errors"
	"fmt"
	"math"

	"github.com/safe-go/safe/replay"
)

func commitsAtHead(f *fixture) {
	s := f.open()
	s.holdsNothing("id")
	want := &history{}
	if oldest := s.commit("id", want, start(firstEpoch, contents("one")...)); oldest != 1 {
		s.Errorf("the first Append returned oldest %d; want 1", oldest)
	}
	s.holds("id", want)
	for i := range 20 {
		if oldest := s.commit("id", want, want.next(many("later ", 1+i%3)...)); oldest != 1 {
			s.Errorf("Append returned oldest %d, but nothing had to be trimmed; want 1", oldest)
		}
		s.holds("id", want)
	}
}

func commitsWhole(f *fixture) {
	s := f.open()
	want := &history{}
	batch := start(firstEpoch,
		replay.Entry{Data: []byte("a"), State: []byte("state a")},
		replay.Entry{Data: []byte("b"), State: []byte("state b"), Key: "key b"},
		replay.Entry{Data: []byte("c")})
	batch.Meta = []byte("meta")
	s.commit("id", want, batch)
	s.holds("id", want)
	s.sameEntries("Find", s.find("id", "key b"), want.entries[1:2])

	long := want.next(many("long ", 300)...)
	s.commit("id", want, long)
	s.holds("id", want)
}

// headsBeside returns cursors that are not the head, by what they are.
func headsBeside(want *history) map[string]replay.Cursor {
	head := want.head()
	return map[string]replay.Cursor{
		"the one before":       {Epoch: head.Epoch, Revision: head.Revision - 1},
		"the first":            want.at(1),
		"one in the future":    head.Next(),
		"far in the future":    {Epoch: head.Epoch, Revision: 1 << 62},
		"beyond 2^63":          {Epoch: head.Epoch, Revision: 1<<63 + 1},
		"near the last":        {Epoch: head.Epoch, Revision: math.MaxUint64 - 3},
		"before the first":     want.zero(),
		"in a later epoch":     {Epoch: head.Epoch + 1, Revision: head.Revision},
		"in an earlier epoch":  {Epoch: head.Epoch - 1, Revision: head.Revision},
		"in a distant epoch":   {Epoch: 1, Revision: head.Revision},
		"in the largest epoch": {Epoch: math.MaxUint64, Revision: head.Revision},
	}
}

func refusesOtherHeads(f *fixture) {
	s := f.open()
	want := s.started("id", many("entry ", 4)...)
	for _, other := range headsBeside(want) {
		s.conflictAt("id", want, follow(other, contents("lost")...))
		s.conflictAt("id", want, removing(follow(other, contents("lost")...)))
	}
	s.conflictAt("id", want, follow(want.at(math.MaxUint64-1), contents("the last there can be")...))
	for _, epoch := range []uint64{firstEpoch - 1, firstEpoch, firstEpoch + 1} {
		s.conflictAt("id", want, start(epoch, contents("lost")...))
		s.conflictAt("id", want, removing(start(epoch, contents("lost")...)))
	}
	s.holds("id", want)

	// Where there never was a history, only one can be started.
	for _, other := range headsBeside(want) {
		conflict := s.conflict("other", follow(other, contents("lost")...))
		if !conflict.Head.IsZero() || conflict.Reason == replay.ConflictRemoved || conflict.Missed != nil {
			s.Errorf("there never was a history: ConflictError has head %s, removed %t, %d missed; want none of it",
				conflict.Head, conflict.Reason == replay.ConflictRemoved, len(conflict.Missed))
		}
	}
	s.holdsNothing("other")
	s.started("other")
}

func refusalChangesNothing(f *fixture) {
	s := f.open()
	want := &history{}
	first := start(firstEpoch, replay.Entry{Data: []byte("a"), State: []byte("state"), Key: "a"}, replay.Entry{Data: []byte("b")})
	first.Meta = []byte("meta")
	s.commit("id", want, first)

	refused := func(expect replay.Cursor) replay.Batch {
		batch := follow(expect,
			replay.Entry{Data: []byte("x"), State: []byte("lost state"), Key: "x"},
			replay.Entry{Data: []byte("y"), State: []byte("lost state"), Key: "y"},
			replay.Entry{Data: []byte("z"), Key: "a"})
		batch.Meta = []byte("lost meta")
		return batch
	}
	for _, other := range headsBeside(want) {
		s.conflictAt("id", want, refused(other))
		s.conflictAt("id", want, removing(refused(other)))
		s.holds("id", want)
		s.sameEntries("Find after a refused batch", s.find("id", "x", "y", "a"), want.entries[:1])
	}
	s.sameIDs([]string{"id"})
	s.commit("id", want, want.next(contents("c")...))
	s.holds("id", want)
}

func refusalSaysWhatWasMissed(f *fixture) {
	s := f.open()
	want := s.started("id", many("first ", 5)...)
	s.commit("id", want, want.next(replay.Entry{Data: []byte("a"), Key: "k", State: []byte("s")}))
	s.commit("id", want, want.next(many("then ", 6)...))
	// conflictAt compares what was missed wherever the refusal says it.
	for revision := range want.head().Revision {
		s.conflictAt("id", want, follow(want.at(revision), contents("lost")...))
	}
	s.conflictAt("id", want, follow(want.head().Next(), contents("lost")...))
	s.conflictAt("id", want, follow(replay.Cursor{Epoch: firstEpoch + 1, Revision: 3}, contents("lost")...))

	if f.harness.OpenBounded == nil {
		return
	}
	// Of a trimmed history, part of what was missed would be a hole.
	s = f.openBounded(5)
	want, oldest := s.trimmed("id", 5)
	for back := range uint64(8) {
		behind := want.at(max(oldest, 5) - 4 + back)
		s.conflictAt("id", want, follow(behind, contents("lost")...))
	}
}

func refusesMisnumberedBatches(f *fixture) {
	s := f.open()
	want := s.started("id", many("entry ", 3)...)
	head := want.head()

	renumbered := func(batch replay.Batch, i int, cursor replay.Cursor) replay.Batch {
		batch.Entries[i].Cursor = cursor
		return batch
	}
	three := func() replay.Batch { return want.next(many("x ", 3)...) }
	fresh := func() replay.Batch { return start(firstEpoch+5, many("x ", 3)...) }
	tests := map[string]replay.Batch{
		"no entries":                    {Expect: head},
		"no entries, to start":          {},
		"no entries, to remove":         {Expect: head, Remove: true},
		"a hole":                        renumbered(three(), 2, want.at(head.Revision+4)),
		"a hole at the start":           renumbered(three(), 0, want.at(head.Revision+2)),
		"a repeated number":             renumbered(three(), 1, want.at(head.Revision+1)),
		"the head's number":             renumbered(three(), 0, head),
		"a later epoch":                 renumbered(three(), 0, replay.Cursor{Epoch: firstEpoch + 1, Revision: head.Revision + 1}),
		"another epoch on the way":      renumbered(three(), 1, replay.Cursor{Epoch: firstEpoch + 1, Revision: head.Revision + 2}),
		"the same epoch from its start": {Expect: head, Entries: start(firstEpoch, many("x ", 3)...).Entries},
		"an earlier epoch":              {Expect: head, Entries: start(firstEpoch-1, many("x ", 3)...).Entries},
		"a distant epoch":               {Expect: head, Entries: start(1, contents("x")...).Entries},
		"a start over at 2":             {Expect: head, Entries: follow(replay.Cursor{Epoch: firstEpoch + 5, Revision: 1}, contents("x")...).Entries},
		"a start over with a hole":      {Expect: head, Entries: renumbered(fresh(), 1, replay.Cursor{Epoch: firstEpoch + 5, Revision: 3}).Entries},
		"a start over in two epochs":    {Expect: head, Entries: renumbered(fresh(), 2, replay.Cursor{Epoch: firstEpoch + 6, Revision: 3}).Entries},
		"no number":                     {Expect: head, Entries: contents("x")},
		"no number, to start":           {Entries: contents("x")},
		"a start at 2":                  {Entries: follow(replay.Cursor{Epoch: firstEpoch + 5, Revision: 1}, contents("x")...).Entries},
		"a start at 0":                  renumbered(start(firstEpoch+5, contents("x")...), 0, replay.Cursor{Epoch: firstEpoch + 5}),
		"a start with a hole":           renumbered(fresh(), 1, replay.Cursor{Epoch: firstEpoch + 5, Revision: 3}),
		"a start in two epochs":         renumbered(fresh(), 1, replay.Cursor{Epoch: firstEpoch + 6, Revision: 2}),
		"a start in epoch 0":            start(0, contents("x")...),
		"epoch 0":                       follow(replay.Cursor{Revision: head.Revision}, contents("x")...),
		"more than there are numbers":   follow(replay.Cursor{Epoch: firstEpoch, Revision: math.MaxUint64}, contents("x")...),
		"more than numbers on the way":  follow(replay.Cursor{Epoch: firstEpoch, Revision: math.MaxUint64 - 1}, contents("x", "y")...),
	}
	for name, batch := range tests {
		for _, id := range []string{"id", "no history"} {
			if err := s.store.Append(s.ctx, id, batch); !errors.Is(err, replay.ErrInvalidBatch) {
				s.Errorf("Append of a batch with %s to %q: error %v; want ErrInvalidBatch", name, id, err)
			}
		}
	}
	s.holds("id", want)
	s.holdsNothing("no history")
}

func replacesMeta(f *fixture) {
	s := f.open()
	want := s.started("id")
	for i, meta := range [][]byte{[]byte("one"), []byte("two"), nil, {0, 0xff}, {}, []byte("last")} {
		batch := want.next(contents(fmt.Sprint("entry ", i))...)
		batch.Meta = meta
		s.commit("id", want, batch)
		s.holds("id", want)
	}
	s.commit("id", want, want.next(contents("without meta")...))
	s.holds("id", want)
}
