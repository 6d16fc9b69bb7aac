package replaytest

import (
	"fmt"

	"github.com/safe-go/safe/replay"
)

// slack is how many entries more than it was told a bounded store may keep.
const slack = 1000

// trimmed returns a history that was written until the store, which keeps that
// many entries, has trimmed some, and the oldest revision left.
func (s *subject) trimmed(id string, entries int) (want *history, oldest uint64) {
	s.Helper()
	want = s.started(id)
	for oldest <= 10 {
		s.mayNotHaveMore(want, entries, 10)
		oldest = s.commit(id, want, want.next(many(fmt.Sprint(len(want.entries), " "), 3)...))
	}
	return want, oldest
}

// mayNotHaveMore ends the test when a store should have trimmed that many
// entries by now.
func (s *subject) mayNotHaveMore(want *history, entries, trimmed int) {
	s.Helper()
	if len(want.entries) > entries+slack+trimmed {
		s.Fatalf("a store that keeps %d entries and may keep %d more did not trim %d of %d",
			entries, slack, trimmed, len(want.entries))
	}
}

// agrees checks that Load and Read are of one mind about the oldest entry,
// which is kept back to the given number of entries at least.
func (s *subject) agrees(id string, want *history, oldest uint64, kept int) {
	s.Helper()
	s.sameHead(id, s.load(id), want, oldest)
	head := want.head()
	if oldest < 1 || oldest > head.Revision+1 {
		s.Fatalf("oldest is %d of a history at %s", oldest, head)
	}
	if missing := int(oldest) - 1; missing > 0 && len(want.entries)-missing < kept {
		s.Errorf("oldest is %d of a history at %s; want the newest %d entries kept", oldest, head, kept)
	}
	after := want.at(oldest - 1)
	s.sameEntries("Read of all that is kept", s.read(id, after, all), want.after(after))
	for back := uint64(2); back <= min(oldest, 4); back++ {
		s.readRefused(id, want.at(oldest-back), replay.ErrCursorTooOld, head, oldest)
	}
	if oldest > 1 {
		s.readRefused(id, want.zero(), replay.ErrCursorTooOld, head, oldest)
	}
	s.readRefused(id, head.Next(), replay.ErrFutureCursor, head, oldest)
	s.sameEntries("Read after the head", s.read(id, head, all), nil)
}

func oldestAgreesWithRead(f *fixture) {
	for _, entries := range []int{1, 2, 7} {
		s := f.openBounded(entries)
		want := &history{}
		batch := start(firstEpoch, contents("first")...)
		for i, oldest := 0, uint64(1); oldest <= 20; i++ {
			s.mayNotHaveMore(want, entries, 20)
			previous := oldest
			if oldest = s.commit("id", want, batch); oldest < previous {
				s.Fatalf("oldest went back from %d to %d", previous, oldest)
			}
			s.agrees("id", want, oldest, entries)
			batch = want.next(many("entry ", 1+i%9)...)
		}
		// A batch of more than is kept.
		oldest := s.commit("id", want, want.next(many("long ", 50)...))
		s.agrees("id", want, oldest, entries)
	}
}

func stateOutlivesEntry(f *fixture) {
	s := f.openBounded(3)
	want := &history{}
	batch := start(firstEpoch, contents("first", "second")...)
	batch.Entries[0].State = []byte("the state")
	batch.Meta = []byte("the meta")
	for oldest := uint64(1); oldest <= 1; {
		s.mayNotHaveMore(want, 3, 1)
		oldest = s.commit("id", want, batch)
		batch = want.next(many("entry ", 2)...)
		batch.Meta = []byte("the meta")
	}
	if got := s.load("id").State; string(got) != "the state" {
		s.Errorf("the state's entry was trimmed: Load has state %q; want %q", got, "the state")
	}
	last := want.next(replay.Entry{Data: []byte("last"), State: []byte("another state")})
	oldest := s.commit("id", want, last)
	s.agrees("id", want, oldest, 3)
}

func keysForgottenWithEntries(f *fixture) {
	s := f.openBounded(4)
	want := s.started("id", keyed("key 0", "twice")...)
	for i, oldest := 1, uint64(1); oldest <= 15; i++ {
		s.mayNotHaveMore(want, 4, 15)
		entries := keyed(fmt.Sprint("key ", i), "")
		if i%3 != 2 {
			entries[1].Key = "twice"
		}
		oldest = s.commit("id", want, want.next(entries...))

		var keys []string
		var found []replay.Entry
		for _, entry := range want.entries {
			if entry.Key != "" && entry.Key != "twice" {
				keys = append(keys, entry.Key)
				if entry.Cursor.Revision >= oldest {
					found = append(found, entry)
				}
			}
		}
		s.sameEntries("Find in a trimmed history", s.find("id", keys...), found)
		s.finds("id", want, oldest, "twice")
	}
	// What is forgotten is new again.
	s.commit("id", want, newKeys(want.next(keyed("key 0", "key 1")...)))
	known := want.entries[len(want.entries)-2:]
	s.sameEntries("Find of keys that are used again", s.find("id", "key 0", "key 1"), known)
	s.conflictKnown("id", want, newKeys(want.next(keyed("key 0", "new", "key 1")...)), known)
}
