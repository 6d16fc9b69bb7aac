package replaytest

import (
	"errors"
	"fmt"
	"math"

	"github.com/safe-go/safe/replay"
)

func commitsWhole(f *fixture) {
	h := f.open()
	want := &history{}
	h.holdsNothing("id", want)
	batch := start(firstEpoch,
		replay.Entry{Data: []byte("a")},
		replay.Entry{Data: []byte("b"), Key: "key b"},
		replay.Entry{Data: []byte("c")})
	batch.Meta = []byte("meta")
	for i := range 20 {
		if oldest := h.commit("id", want, batch); oldest != 1 {
			h.Errorf("oldest is %d, but nothing had to be trimmed; want 1", oldest)
		}
		h.holds("id", want)
		if batch = want.next(many("later ", 1+i%3)...); i%4 == 2 {
			batch = withSnapshot(batch)
		}
	}
	h.sameEntries("Find", h.find("id", "key b"), want.entries[1:2])
	h.commit("id", want, want.next(many("long ", 300)...))
	h.holds("id", want)
}

func refusesOtherHeads(f *fixture) {
	h := f.open()
	want := &history{}
	first := start(firstEpoch, replay.Entry{Data: []byte("a"), Key: "a"}, replay.Entry{Data: []byte("b")}, replay.Entry{Data: []byte("c")})
	first.Meta = []byte("meta")
	h.commit("id", want, first)
	refused := func(id string, want *history, batch replay.Batch) {
		batch.Meta = []byte("lost meta")
		h.moved(id, want, batch)
		h.moved(id, want, removing(batch))
	}
	lost := keyed("x", "y", "a")
	for id, history := range map[string]*history{"id": want, "never": {}} {
		for _, other := range otherHeads(want) {
			refused(id, history, follow(other, lost...))
			if other.Epoch < math.MaxUint64 { // or no epoch is later
				restart := start(max(other.Epoch, firstEpoch)+1, lost...)
				restart.Expect = other
				refused(id, history, restart)
			}
		}
	}
	refused("id", want, follow(want.at(math.MaxUint64-1), contents("the last there can be")...))
	for _, epoch := range []uint64{firstEpoch - 1, firstEpoch, firstEpoch + 1} {
		refused("id", want, start(epoch, lost...))
	}
	h.sameIDs("id")
	h.holds("id", want)
	h.sameEntries("Find after refused batches", h.find("id", "x", "y", "a"), want.entries[:1])
	h.commit("id", want, want.next(contents("d")...))
	h.holds("id", want)
	h.holdsNothing("never", &history{})
	h.started("never")
}

func refusalHasMissed(f *fixture) {
	h := f.open()
	want := h.started("id", many("first ", 5)...)
	h.commit("id", want, want.next(keyed("k")...))
	h.commit("id", want, withSnapshot(want.next(many("then ", 6)...)))
	// moved compares what was missed if the refusal has it.
	for revision := range want.head().Revision {
		h.moved("id", want, follow(want.at(revision), contents("lost")...))
	}
	h.moved("id", want, follow(want.head().Next(), contents("lost")...))
	h.moved("id", want, follow(replay.Cursor{Epoch: firstEpoch + 1, Revision: 3}, contents("lost")...))

	if f.harness.OpenBounded == nil {
		return
	}
	// Of a trimmed history, a part of what was missed would be a hole.
	h = f.openBounded(5)
	want, oldest := h.trimmed("id", 5)
	for back := range uint64(8) {
		h.moved("id", want, follow(want.at(max(oldest, 5)-4+back), contents("lost")...))
	}
}

func refusesInvalid(f *fixture) {
	h := f.open()
	want := h.started("id", many("entry ", 3)...)
	head := want.head()

	renumbered := func(batch replay.Batch, i int, epoch, revision uint64) replay.Batch {
		batch.Entries[i].Cursor = replay.Cursor{Epoch: epoch, Revision: revision}
		return batch
	}
	expecting := func(expect replay.Cursor, batch replay.Batch) replay.Batch {
		batch.Expect = expect
		return batch
	}
	next := func() replay.Batch { return want.next(many("x ", 3)...) }
	fresh := func() replay.Batch { return start(firstEpoch+5, many("x ", 3)...) }
	tests := map[string]replay.Batch{
		"no entries":                      {Expect: head},
		"no entries, to start":            {},
		"no entries, to remove":           {Expect: head, Remove: true},
		"a hole":                          renumbered(next(), 2, firstEpoch, head.Revision+4),
		"a hole at the start":             renumbered(next(), 0, firstEpoch, head.Revision+2),
		"a repeated number":               renumbered(next(), 1, firstEpoch, head.Revision+1),
		"the head's number":               renumbered(next(), 0, firstEpoch, head.Revision),
		"a later epoch":                   renumbered(next(), 0, firstEpoch+1, head.Revision+1),
		"another epoch on the way":        renumbered(next(), 1, firstEpoch+1, head.Revision+2),
		"the same epoch from its start":   expecting(head, start(firstEpoch, many("x ", 3)...)),
		"an earlier epoch":                expecting(head, start(firstEpoch-1, many("x ", 3)...)),
		"a distant epoch":                 expecting(head, start(1, contents("x")...)),
		"a restart at 2":                  expecting(head, follow(replay.Cursor{Epoch: firstEpoch + 5, Revision: 1}, contents("x")...)),
		"a restart with a hole":           expecting(head, renumbered(fresh(), 1, firstEpoch+5, 3)),
		"a restart in two epochs":         expecting(head, renumbered(fresh(), 2, firstEpoch+6, 3)),
		"no number":                       {Expect: head, Entries: contents("x")},
		"no number, to start":             {Entries: contents("x")},
		"a start at 2":                    expecting(replay.Cursor{}, follow(replay.Cursor{Epoch: firstEpoch + 5, Revision: 1}, contents("x")...)),
		"a start at 0":                    renumbered(start(firstEpoch+5, contents("x")...), 0, firstEpoch+5, 0),
		"a start with a hole":             renumbered(fresh(), 1, firstEpoch+5, 3),
		"a start in two epochs":           renumbered(fresh(), 1, firstEpoch+6, 2),
		"a start in epoch 0":              start(0, contents("x")...),
		"epoch 0":                         follow(replay.Cursor{Revision: head.Revision}, contents("x")...),
		"no number left":                  follow(replay.Cursor{Epoch: firstEpoch, Revision: math.MaxUint64}, contents("x")...),
		"no number left for the last one": follow(replay.Cursor{Epoch: firstEpoch, Revision: math.MaxUint64 - 1}, contents("x", "y")...),
	}
	for name, batch := range tests {
		batch.Snapshot = []byte("lost state")
		tests[name] = batch
	}
	tests["a start without a snapshot"] = withoutSnapshot(fresh())
	tests["a restart without a snapshot"] = withoutSnapshot(expecting(head, fresh()))
	for name, batch := range tests {
		for _, id := range []string{"id", "no history"} {
			if err := h.store.Append(h.ctx, id, batch); !errors.Is(err, replay.ErrInvalidBatch) {
				h.Errorf("Append of a batch with %s to %q: error %v; want ErrInvalidBatch", name, id, err)
			}
		}
	}
	h.holds("id", want)
	h.holdsNothing("no history", &history{})
}

func replacesMeta(f *fixture) {
	h := f.open()
	want := h.started("id")
	for i, meta := range [][]byte{[]byte("one"), []byte("two"), nil, {0, 0xff}, {}, []byte("last"), nil} {
		batch := want.next(contents(fmt.Sprint("entry ", i))...)
		batch.Meta = meta
		h.commit("id", want, batch)
		h.holds("id", want)
	}
}
