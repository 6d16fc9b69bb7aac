package replaytest

import (
	"bytes"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// metas returns metas that a store might confuse.
func metas() [][]byte {
	large := bytes.Repeat([]byte("large "), 1<<17/6)
	larger := append(bytes.Clone(large), 0)
	return [][]byte{
		nil, []byte("meta"), []byte("Meta"), []byte("meta "), []byte("meta\n"), []byte("met"),
		{0}, {0, 0}, []byte("meta\x00"), []byte("meta\x00b"), {0xff}, {0xfe, 0xff}, []byte("\ufffd"),
		[]byte("0"), []byte("00"), []byte("1"), []byte("1.0"), []byte("nil"), []byte("null"), []byte("%s"), []byte("{}"),
		large, larger,
	}
}

// expecting makes the meta a condition of the batch, also where it is nil.
func expecting(meta []byte, batch replay.Batch) replay.Batch {
	batch.ExpectMeta = append([]byte{}, meta...)
	return batch
}

func refusesOtherMetas(f *fixture) {
	h := f.open()
	for i, meta := range metas() {
		id := fmt.Sprint("id ", i)
		want := &history{}
		first := start(firstEpoch, keyed("first")...)
		first.Meta = meta
		h.commit(id, want, first)
		for _, other := range metas() {
			if bytes.Equal(other, meta) {
				continue
			}
			for _, batch := range []replay.Batch{want.next(keyed("lost")...), removing(want.next(keyed("lost", "lost")...)), want.restart(firstEpoch+1, keyed("lost")...)} {
				batch.Meta = []byte("lost meta")
				h.refused(replay.ConflictReplaced, id, want, expecting(other, batch))
			}
		}
		h.holds(id, want)
		h.sameEntries("Find after refused batches", h.find(id, "first", "lost"), want.entries[:1])
		h.commit(id, want, expecting(meta, want.next(contents("then")...)))
		h.commit(id, want, expecting(nil, want.next(contents("at last")...)))
		h.holds(id, want)

		// Where there is no head, there is no meta to compare with.
		h.commit(id, want, expecting(nil, want.end()))
		h.commit(id, want, expecting([]byte("other meta"), start(firstEpoch+1, contents("again")...)))
		h.holds(id, want)
	}
	want := &history{}
	h.commit("new", want, expecting([]byte("meta"), start(firstEpoch, contents("first")...)))
	h.holds("new", want)
}

func refusesKnownKeys(f *fixture) {
	h := f.open()
	want := h.started("id", keyed("a", "", "b", "twice", "twice")...)
	h.commit("id", want, want.next(keyed("c")...))
	h.started("other", keyed("x")...)

	for _, test := range []struct{ keys, known []string }{
		{keys: []string{"a"}, known: []string{"a"}},
		{keys: []string{"x", "a", "y"}, known: []string{"a"}},
		{keys: []string{"y", "b", "", "c"}, known: []string{"b", "c"}},
		{keys: []string{"x", "y", "c"}, known: []string{"c"}},
		{keys: []string{"a", "a"}, known: []string{"a"}},
		{keys: []string{"a", "y", "a", "y"}, known: []string{"a"}},
		{keys: []string{"twice"}, known: []string{"twice"}},
		{keys: []string{"", "c", ""}, known: []string{"c"}},
	} {
		var known []replay.Entry
		for _, key := range test.known {
			known = append(known, *want.newest(key))
		}
		for _, batch := range []replay.Batch{
			want.next(keyed(test.keys...)...),
			removing(want.next(keyed(test.keys...)...)),
			want.restart(firstEpoch+1, keyed(test.keys...)...),
		} {
			batch.Meta = []byte("lost meta")
			h.refused(replay.ConflictKnownKeys, "id", want, newKeys(batch), known...)
		}
		h.holds("id", want)
		h.sameEntries("Find after a refused batch", h.find("id", "x", "y"), nil)
	}
	// Without the condition a key may be used again.
	h.commit("id", want, want.next(keyed("a")...))
	h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("a")...)), *want.newest("a"))
	h.holds("id", want)
}

func acceptsNewKeys(f *fixture) {
	h := f.open()
	h.started("other", keyed("of another id")...)
	want := &history{}
	// A start has nothing before it, and the keys of one batch may repeat.
	h.commit("id", want, newKeys(start(firstEpoch, keyed("a", "b", "b", "")...)))
	for _, keys := range [][]string{
		{"c"}, {"d", "e", "f"}, {""}, {"", ""}, {"g", "", "g", "g"}, {"of another id"}, {"A", "a ", "a\x00"},
	} {
		h.commit("id", want, newKeys(want.next(keyed(keys...)...)))
		h.holds("id", want)
		h.finds("id", want, 1, keys...)
	}
	h.commit("id", want, newKeys(removing(want.next(keyed("h")...))))
	h.holdsNothing("id", want)
	h.commit("id", want, newKeys(start(firstEpoch+1, keyed("a", "h")...)))
	h.holds("id", want)
	h.commit("id", want, newKeys(want.next(keyed("b", "c")...)))
	h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("x", "h")...)), want.entries[1])
	h.holds("id", want)
}

func refusesInOrder(f *fixture) {
	h := f.open()
	want := &history{}
	first := start(firstEpoch, keyed("a", "b")...)
	h.commit("id", want, first)
	second := want.next(keyed("c")...)
	second.Meta = []byte("meta")
	h.commit("id", want, second)

	for _, other := range otherHeads(want) {
		h.moved("id", want, newKeys(expecting([]byte("other meta"), follow(other, keyed("a")...))))
	}
	for key, batch := range map[string]replay.Batch{"a": want.next(keyed("a")...), "b": want.restart(firstEpoch+1, keyed("b")...)} {
		h.refused(replay.ConflictReplaced, "id", want, newKeys(expecting([]byte("other meta"), batch)))
		h.refused(replay.ConflictKnownKeys, "id", want, newKeys(expecting([]byte("meta"), batch)), *want.newest(key))
	}
	h.commit("id", want, want.end())
	h.refused(replay.ConflictRemoved, "id", want, newKeys(expecting([]byte("other meta"), follow(want.at(1), keyed("a")...))))
	h.refused(replay.ConflictRemoved, "id", want, newKeys(start(firstEpoch, keyed("a")...)))
}
