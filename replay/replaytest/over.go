package replaytest

import (
	"errors"
	"fmt"
	"math"

	"github.com/safe-go/safe/replay"
)

func startsOver(f *fixture) {
	s := f.open()
	other := s.started("other", keyed("key")...)
	want := s.grown("id", 5)
	for i, entries := range [][]replay.Entry{
		contents("without a state"),
		{{Data: []byte("a"), State: []byte("state a")}, {Data: []byte("b")}},
		many("many ", 20),
		{{Data: []byte("c"), State: []byte("state c"), Key: "key c"}},
	} {
		before := *want
		batch := want.over(firstEpoch+1+uint64(i), entries...)
		batch.ExpectMeta, batch.Meta = append([]byte{}, want.meta...), fmt.Append(nil, "meta ", i)
		if oldest := s.commit("id", want, batch); oldest != 1 {
			s.Errorf("Append that starts over returned oldest %d; want 1", oldest)
		}
		s.holds("id", want)
		s.sameIDs([]string{"id", "other"})
		for _, after := range []replay.Cursor{before.zero(), before.at(1), before.head(), before.head().Next(), {Epoch: firstEpoch}} {
			s.readRefused("id", after, replay.ErrUnknownEpoch, want.head(), 1)
			s.conflictAt("id", want, follow(after, contents("lost")...))
		}
		s.conflictAt("id", want, batch)
		s.conflictAt("id", want, start(want.head().Epoch+1, contents("lost")...))
		s.commit("id", want, want.next(many("then ", 1+i)...))
		s.holds("id", want)
	}
	s.holds("other", other)
	s.sameEntries("Find in the other history", s.find("other", "key"), other.entries)
}

func startsOverAndEnds(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("a", "b")...)
	s.commit("id", want, want.over(firstEpoch+3, keyed("c", "b")...))
	s.commit("id", want, removing(want.over(firstEpoch+5, keyed("d")...)))
	s.removed("id", want)
	s.sameIDs(nil)
	// The epochs from before are those of the same id.
	for epoch := range uint64(6) {
		s.conflictRemoved("id", want.head(), newKeys(start(firstEpoch+epoch, contents("lost")...)))
	}
	again := &history{}
	s.commit("id", again, newKeys(start(firstEpoch+6, keyed("b", "x")...)))
	s.holds("id", again)
	s.sameEntries("Find of keys from before the removal", s.find("id", "a", "b", "c", "d"), again.entries[:1])
}

func startsOverOnlyAtTheHead(f *fixture) {
	s := f.open()
	want := &history{}
	first := start(firstEpoch, replay.Entry{Data: []byte("a"), State: []byte("state"), Key: "a"}, replay.Entry{Data: []byte("b")})
	first.Meta = []byte("meta")
	s.commit("id", want, first)
	over := func(expect replay.Cursor, epoch uint64) replay.Batch {
		batch := start(epoch, replay.Entry{Data: []byte("x"), State: []byte("lost state"), Key: "x"}, replay.Entry{Key: "a"})
		batch.Expect, batch.Meta = expect, []byte("lost meta")
		return batch
	}
	for _, other := range headsBeside(want) {
		if other.Epoch == math.MaxUint64 {
			continue // no epoch is later
		}
		s.conflictAt("id", want, over(other, max(other.Epoch, firstEpoch)+1))
		s.conflictAt("id", want, removing(over(other, math.MaxUint64)))
	}
	for _, epoch := range []uint64{firstEpoch, firstEpoch - 1, 1} {
		if err := s.store.Append(s.ctx, "id", over(want.head(), epoch)); !errors.Is(err, replay.ErrInvalidBatch) {
			s.Errorf("Append that starts over in epoch %d at %s: error %v; want ErrInvalidBatch", epoch, want.head(), err)
		}
	}
	s.holds("id", want)
	s.sameEntries("Find after refused batches", s.find("id", "a", "x"), want.entries[:1])

	// What is not there, or no longer, cannot start over.
	conflict := s.conflict("never", over(want.head(), firstEpoch+1))
	if !conflict.Head.IsZero() || conflict.Reason == replay.ConflictRemoved {
		s.Errorf("there never was a history: ConflictError has head %s, removed %t; want neither", conflict.Head, conflict.Reason == replay.ConflictRemoved)
	}
	s.holdsNothing("never")
	s.commit("id", want, removing(want.next(contents("the end")...)))
	s.conflictRemoved("id", want.head(), over(want.head(), firstEpoch+1))
	s.removed("id", want)
}

func startsOverInExactlyLaterEpochs(f *fixture) {
	s := f.open()
	for id, epochs := range closeEpochs() {
		want := &history{}
		s.commit(id, want, start(epochs[0], many("entry ", 3)...))
		for i, epoch := range epochs[1:] {
			s.commit(id, want, want.over(epoch, many("entry ", 3)...))
			s.holds(id, want)
			for _, earlier := range epochs[:i+1] {
				s.readRefused(id, replay.Cursor{Epoch: earlier, Revision: 2}, replay.ErrUnknownEpoch, want.head(), 1)
				s.conflictAt(id, want, follow(replay.Cursor{Epoch: earlier, Revision: 3}, contents("lost")...))
			}
		}
	}
}

func findsEarlierKeysInTheirEpoch(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("a", "b", "", "everywhere", "early")...)
	s.commit("id", want, want.over(firstEpoch+1, keyed("c", "everywhere", "early")...))
	s.commit("id", want, want.over(firstEpoch+2, keyed("d")...))
	s.commit("id", want, want.next(keyed("everywhere", "")...))
	all := []string{"a", "b", "c", "d", "everywhere", "early", "", "absent"}
	look := func() {
		s.Helper()
		found := s.finds("id", want, 1, all...)
		for _, key := range all {
			s.sameEntries("Find of one key", s.finds("id", want, 1, key), carriers(found, key))
		}
	}
	look()
	if f.harness.Reopen != nil {
		s = f.reopen(s)
		look()
	}
	// A key is known to Append exactly if it is to Find.
	for _, key := range []string{"a", "b", "c", "early", "absent"} {
		batch := newKeys(want.next(keyed("new "+key, key)...))
		if known := s.finds("id", want, 1, key); len(known) > 0 {
			s.conflictKnown("id", want, batch, known)
			batch.NewKeys = false
		}
		s.commit("id", want, batch)
		s.holds("id", want)
		look()
	}
	s.commit("id", want, removing(want.next(contents("the end")...)))
	s.sameEntries("Find in a removed history", s.find("id", all...), nil)
	again := &history{}
	s.commit("id", again, newKeys(start(firstEpoch+3, keyed("d")...)))
	s.commit("id", again, newKeys(again.next(keyed("a", "b", "c", "everywhere", "early")...)))
	s.sameEntries("Find of keys that are used again", s.find("id", all...), again.entries)
}

// carriers returns the entries that carry the key.
func carriers(entries []replay.Entry, key string) (carriers []replay.Entry) {
	for _, entry := range entries {
		if entry.Key == key {
			carriers = append(carriers, entry)
		}
	}
	return carriers
}

func trimsWhatStartsOver(f *fixture) {
	s := f.openBounded(4)
	want, oldest := s.trimmed("id", 4)
	keys := []string{"key 0", "key 1"}
	for range 3 {
		for _, entries := range [][]replay.Entry{keyed(keys...), many("entry ", 3)} {
			oldest = s.commit("id", want, want.over(want.head().Epoch+1, entries...))
			s.agrees("id", want, oldest, 4)
			s.finds("id", want, oldest, keys...)
		}
		// What is from before is the first to go.
		for oldest <= 5 {
			s.mayNotHaveMore(want, 4, 5)
			oldest = s.commit("id", want, want.next(many(fmt.Sprint(len(want.entries), " "), 3)...))
			s.agrees("id", want, oldest, 4)
		}
		s.sameEntries("Find of keys from before what was trimmed", s.find("id", keys...), nil)
		oldest = s.commit("id", want, newKeys(want.next(keyed(keys...)...)))
		s.agrees("id", want, oldest, 4)
	}
}

func oneStartOverWins(f *fixture) {
	const workers, rounds = 6, 20
	s := f.open()
	handles := []*subject{s, f.second(s)}
	want := s.started("id", keyed("first")...)
	for round := range rounds {
		batches := make([]replay.Batch, workers)
		for worker := range batches {
			entries := keyed(fmt.Sprint("round ", round, " worker ", worker), "")
			batches[worker] = want.over(want.head().Epoch+1+uint64(worker/2), entries...)
			if worker == workers-1 {
				batches[worker] = want.next(entries...)
			}
			batches[worker].Meta = fmt.Append(nil, "meta of worker ", worker)
		}
		want.add(f.race(handles, batches))
		for _, handle := range handles {
			handle.holds("id", want)
		}
	}
}
