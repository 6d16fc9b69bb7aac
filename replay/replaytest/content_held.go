package replaytest

import (
	"bytes"
	"fmt"
	"io"

	"github.com/safe-go/safe/replay"
)

// keepsHandsOff checks that a store does not change what it was given.
func (s *subject) keepsHandsOff() {
	s.Helper()
	data, state, meta := []byte("data"), []byte("state"), []byte("meta")
	batch := start(firstEpoch, replay.Entry{Data: data, State: state, Key: "key"})
	batch.Meta = meta
	s.append("hands off", batch)
	for range 3 {
		batch = follow(batch.Last(), replay.Entry{Data: data, State: state, Key: "key"})
		batch.Meta = meta
		s.append("hands off", batch)
	}
	if string(data) != "data" || string(state) != "state" || string(meta) != "meta" {
		s.Errorf("Append changed what it was given to %q, %q, %q", data, state, meta)
	}
}

// keepsWhatItReturned checks that what a store has handed over stays what it
// was, whatever happens to the store then.
func keepsWhatItReturned(f *fixture) {
	s := f.open()
	want := &history{}
	batch := start(firstEpoch)
	for i := range 20 {
		data := bytes.Repeat(fmt.Append(nil, "data of entry ", i, " "), 200)
		batch.Entries = append(batch.Entries, replay.Entry{
			Cursor: replay.Cursor{Epoch: firstEpoch, Revision: uint64(i) + 1},
			Key:    fmt.Sprint("key ", i), Data: data, State: append(data, '.'),
		})
	}
	batch.Meta = []byte("the meta")
	s.commit("id", want, batch)

	head := s.load("id")
	read := s.read("id", want.zero(), all)
	found := s.find("id", "key 3", "key 4")
	conflict := s.conflict("id", follow(want.at(10), contents("lost")...))
	refused := s.conflict("id", newKeys(want.next(keyed("key 5")...)))
	ids := s.ids()

	// The room that it took is taken by something else, more than once.
	for i := range 20 {
		id := "id"
		if i > 0 {
			id = fmt.Sprint("other ", i)
			s.append(id, start(firstEpoch, contents("first")...))
		}
		at := replay.Cursor{Epoch: firstEpoch, Revision: 1}
		if i == 0 {
			at = want.head()
		}
		s.append(id, removing(follow(at, replay.Entry{Data: bytes.Repeat([]byte("x"), 30_000), State: []byte("x"), Key: "x"})))
		s.append(id, start(firstEpoch+1, replay.Entry{Data: bytes.Repeat([]byte("y"), 30_000), State: bytes.Repeat([]byte("y"), 30_000)}))
	}
	if closer, ok := s.store.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			s.Fatalf("Close: %v", err)
		}
	}
	s.sameHead("id", head, want, 1)
	s.sameEntries("what was read", read, want.entries)
	s.sameEntries("what was found", found, want.entries[3:5])
	s.sameEntries("what was missed", conflict.Missed, want.entries[10:][:len(conflict.Missed)])
	s.sameEntries("what was known", refused.Known, want.entries[5:6])
	if len(ids) != 1 || ids[0] != "id" {
		s.Errorf("the ids that were yielded are %q now; want %q", ids, "id")
	}
}

// keepsLongBatches commits as many entries at once as a busy ShareData gathers
// while a slow medium commits others.
func keepsLongBatches(f *fixture) {
	const n = 512
	s := f.open()
	entries, keys := many("entry ", n), make([]string, 0, n)
	for i := range entries {
		entries[i].Data = append(entries[i].Data, make([]byte, 1000)...)
		entries[i].Key = fmt.Sprint("key ", i)
		keys = append(keys, entries[i].Key)
		if i%5 == 0 {
			entries[i].State = fmt.Append(nil, "state ", i)
		}
	}
	want := &history{}
	s.commit("id", want, newKeys(start(firstEpoch, entries[:3]...)))
	s.commit("id", want, newKeys(want.next(entries[3:]...)))
	s.holds("id", want)
	s.sameEntries("Find", s.find("id", keys...), want.entries)
	s.conflictAt("id", want, follow(want.at(3), entries...))
	s.conflictKnown("id", want, newKeys(want.next(entries...)), want.entries)
	s.conflictKnown("id", want, newKeys(want.next(append(many("new ", n-1), entries[7])...)), want.entries[7:8])
	s.holds("id", want)

	s.commit("id", want, want.over(firstEpoch+1, entries...))
	s.holds("id", want)
	s.sameEntries("Find", s.find("id", keys...), want.entries)
	s.commit("id", want, removing(want.next(entries...)))
	s.removed("id", want)
	again := &history{}
	s.commit("id", again, newKeys(start(firstEpoch+2, entries...)))
	s.holds("id", again)
}
