package replaytest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// metas returns metas that a store might take for one another.
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

func refusesOtherMetas(f *fixture) {
	s := f.open()
	for i, meta := range metas() {
		id := fmt.Sprint("id ", i)
		want := &history{}
		first := start(firstEpoch, replay.Entry{Data: []byte("first"), State: []byte("state"), Key: "first"})
		first.Meta = meta
		s.commit(id, want, first)
		expecting := func(batch replay.Batch, meta []byte) replay.Batch {
			if meta == nil {
				meta = []byte{} // nil is not compared
			}
			batch.ExpectMeta = meta
			batch.Meta = []byte("lost meta")
			return batch
		}
		for _, other := range metas() {
			if bytes.Equal(other, meta) {
				continue
			}
			s.conflictReplaced(id, want, expecting(want.next(keyed("lost")...), other))
			s.conflictReplaced(id, want, expecting(removing(want.next(keyed("lost", "lost")...)), other))
			s.conflictReplaced(id, want, expecting(want.over(firstEpoch+1, keyed("lost")...), other))
		}
		s.holds(id, want)
		s.sameEntries("Find after refused batches", s.find(id, "first", "lost"), want.entries[:1])

		batch := expecting(want.next(contents("then")...), meta)
		batch.Meta = nil
		s.commit(id, want, batch)
		s.holds(id, want)
		s.commit(id, want, expecting(want.next(contents("at last")...), nil))
		s.holds(id, want)
	}
}

func nilMetaIsNotCompared(f *fixture) {
	s := f.open()
	want := &history{}
	batch := start(firstEpoch, contents("first")...)
	for i := range 6 {
		batch.Meta = fmt.Append(nil, "meta ", i)
		s.commit("id", want, batch)
		s.holds("id", want)
		batch = want.next(contents(fmt.Sprint("entry ", i))...)
	}
	// Where there is no head there is no meta to compare either.
	s.commit("id", want, removing(batch))
	for i, id := range []string{"id", "other"} {
		want := &history{}
		batch := start(firstEpoch+1+uint64(i), contents("first")...)
		batch.ExpectMeta = []byte("meta 5")
		s.commit(id, want, batch)
		s.holds(id, want)
		batch.ExpectMeta = nil
		s.conflictAt(id, want, batch)
	}
}

func refusesKnownKeys(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("a", "", "b", "twice", "twice")...)
	s.commit("id", want, want.next(keyed("c")...))
	s.started("other", keyed("x")...)

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
			want.over(firstEpoch+1, keyed(test.keys...)...),
		} {
			batch.Meta = []byte("lost meta")
			s.conflictKnown("id", want, newKeys(batch), known)
		}
		s.holds("id", want)
		s.sameEntries("Find after a refused batch", s.find("id", "x", "y"), nil)
	}
	// Without the demand a key may be used again.
	s.commit("id", want, want.next(keyed("a")...))
	s.conflictKnown("id", want, newKeys(want.next(keyed("a")...)), want.entries[len(want.entries)-1:])
	s.holds("id", want)
}

func takesNewKeys(f *fixture) {
	s := f.open()
	s.started("other", keyed("of another id")...)
	want := &history{}
	// A start has nothing before it; and a batch is in no conflict with itself.
	s.commit("id", want, newKeys(start(firstEpoch, keyed("a", "b", "b", "")...)))
	for _, keys := range [][]string{
		{"c"}, {"d", "e", "f"}, {""}, {"", ""}, {"g", "", "g", "g"}, {"of another id"}, {"A", "a ", "a\x00"},
	} {
		s.commit("id", want, newKeys(want.next(keyed(keys...)...)))
		s.holds("id", want)
		s.finds("id", want, 1, keys...)
	}
	s.commit("id", want, newKeys(removing(want.next(keyed("h")...))))
	s.removed("id", want)
	again := &history{}
	s.commit("id", again, newKeys(start(firstEpoch+1, keyed("a", "h")...)))
	s.holds("id", again)
	s.commit("id", again, newKeys(again.next(keyed("b", "c")...)))
	s.conflictKnown("id", again, newKeys(again.next(keyed("x", "h")...)), again.entries[1:2])
	s.holds("id", again)
}

func refusesInOrder(f *fixture) {
	s := f.open()
	want := &history{}
	first := start(firstEpoch, keyed("a", "b")...)
	first.Meta = []byte("meta")
	s.commit("id", want, first)
	s.commit("id", want, want.next(keyed("c")...))

	// conflict demands one reason at a time: the head, then the meta, then the
	// keys.
	for _, other := range headsBeside(want) {
		batch := newKeys(follow(other, keyed("a")...))
		batch.ExpectMeta = []byte("other meta")
		s.conflictAt("id", want, batch)
	}
	for _, batch := range []replay.Batch{want.next(keyed("a")...), want.over(firstEpoch+1, keyed("b")...)} {
		batch.ExpectMeta = []byte("meta")
		s.conflictReplaced("id", want, newKeys(batch))
		batch.ExpectMeta = []byte{}
		s.conflictKnown("id", want, newKeys(batch), []replay.Entry{*want.newest(batch.Entries[0].Key)})
	}
	removed := newKeys(follow(want.at(1), keyed("a")...))
	removed.ExpectMeta = []byte("other meta")
	s.commit("id", want, removing(want.next(contents("the end")...)))
	s.conflictRemoved("id", want.head(), removed)
	s.conflictRemoved("id", want.head(), newKeys(start(firstEpoch, keyed("a")...)))
}

func oneNewKeyWins(f *fixture) {
	const workers, rounds = 5, 12
	s := f.open()
	handles := []*subject{s, f.second(s)}
	s.started("id", keyed("first")...)
	for round := range rounds {
		key := fmt.Sprint("key ", round)
		won := make([]*replay.Entry, workers)
		known := make([]replay.Entry, workers)
		f.together(workers, func(worker int) error {
			store := handles[worker%2].store
			head, err := store.Load(f.ctx, "id")
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			at := head.Cursor
			for range attempts {
				entries := contents(fmt.Sprint("worker ", worker), fmt.Sprint("key of worker ", worker))
				entries[1].Key = key
				batch := newKeys(follow(at, entries...))
				err := store.Append(f.ctx, "id", batch)
				conflict, refused := errors.AsType[*replay.ConflictError](err)
				switch {
				case err == nil:
					won[worker] = &batch.Entries[1]
					return nil
				case !refused:
					return fmt.Errorf("append at %s: %w", at, err)
				case conflict.Known == nil:
					at = conflict.Head
				case len(conflict.Known) != 1:
					return fmt.Errorf("append of one key at %s: %d known", at, len(conflict.Known))
				default:
					known[worker] = conflict.Known[0]
					return nil
				}
			}
			return fmt.Errorf("worker %d learned of no winner in %d attempts", worker, attempts)
		})
		var winner *replay.Entry
		for _, entry := range won {
			switch {
			case entry == nil:
			case winner != nil:
				s.Fatalf("%q was new twice, at %s and at %s", key, winner.Cursor, entry.Cursor)
			default:
				winner = entry
			}
		}
		if winner == nil {
			s.Fatalf("%q was new to nobody", key)
		}
		for worker := range known {
			if won[worker] == nil {
				s.sameEntries("ConflictError.Known", known[worker:worker+1], []replay.Entry{*winner})
			}
		}
		s.sameEntries("Find", s.find("id", key), []replay.Entry{*winner})
	}
}
