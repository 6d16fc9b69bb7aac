package replaytest

import (
	"fmt"
	"slices"

	"github.com/safe-go/safe/replay"
)

func keysFindEntries(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("a", "", "b")...)
	s.commit("id", want, want.next(keyed("c")...))
	s.commit("id", want, want.next(keyed("", "d", "")...))
	s.started("other", keyed("e", "x", "f")...)

	tests := []struct {
		keys []string
		want []uint64
	}{
		{keys: nil},
		{keys: []string{}},
		{keys: []string{"a"}, want: []uint64{1}},
		{keys: []string{"b"}, want: []uint64{3}},
		{keys: []string{"d", "c", "b", "a"}, want: []uint64{1, 3, 4, 6}},
		{keys: []string{"a", "absent", "d"}, want: []uint64{1, 6}},
		{keys: []string{"a", "a", "c", "a", "c"}, want: []uint64{1, 4}},
		{keys: []string{"absent", "A", "a ", "e", "f"}},
		{keys: []string{""}},
		{keys: []string{"", "b", ""}, want: []uint64{3}},
	}
	for _, test := range tests {
		var entries []replay.Entry
		for _, revision := range test.want {
			entries = append(entries, want.entries[revision-1])
		}
		s.sameEntries(fmt.Sprintf("Find of %q", test.keys), s.find("id", test.keys...), entries)
	}

	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
	}
	s.started("long", keyed(keys...)...)
	s.sameEntries("Find of 500 keys", s.find("long", keys...), start(firstEpoch, keyed(keys...)...).Entries)
}

func repeatedKeyFindsNewest(f *fixture) {
	s := f.open()
	want := s.started("id", keyed("twice", "once")...)
	s.commit("id", want, want.next(keyed("", "twice")...))
	s.finds("id", want, 1, "twice")
	s.commit("id", want, want.next(keyed("twice", "twice")...))
	s.finds("id", want, 1, "twice")
	s.sameEntries("Find", s.find("id", "once"), want.entries[1:2])
}

// finds checks what the keys find in a history that is kept from the revision
// oldest on, and returns it: of each key the newest entry that carries it and
// nothing else. Where that is from before the history started over, it may be
// left out.
func (s *subject) finds(id string, want *history, oldest uint64, keys ...string) []replay.Entry {
	s.Helper()
	found := s.find(id, keys...)
	for i, entry := range found {
		if i > 0 && entry.Cursor == found[i-1].Cursor {
			s.Errorf("Find in %.40q: the entry at %s twice", id, entry.Cursor)
		}
		newest := want.newest(entry.Key)
		if newest == nil || !slices.Contains(keys, entry.Key) {
			s.Errorf("Find in %.40q: the entry at %s with key %.60q, which was not asked for or never carried",
				id, entry.Cursor, entry.Key)
		} else if difference := differ(entry, *newest); difference != "" {
			s.Errorf("Find in %.40q: not the newest entry with the key: %s", id, difference)
		} else if entry.Cursor.Epoch == want.head().Epoch && entry.Cursor.Revision < oldest {
			s.Errorf("Find in %.40q: the entry at %s with key %.60q, oldest being %d", id, entry.Cursor, entry.Key, oldest)
		}
	}
	for _, key := range keys {
		newest := want.newest(key)
		if newest == nil || newest.Cursor.Epoch != want.head().Epoch || newest.Cursor.Revision < oldest {
			continue
		}
		if !slices.ContainsFunc(found, func(e replay.Entry) bool { return e.Cursor == newest.Cursor }) {
			s.Errorf("Find of %.60q in %.40q: %d entries without the newest, %s", key, id, len(found), newest.Cursor)
		}
	}
	return found
}

// newest returns the newest entry that carries the key, nil if there is none.
func (h *history) newest(key string) *replay.Entry {
	for _, entries := range [][]replay.Entry{h.entries, h.earlier} {
		for i := len(entries) - 1; i >= 0 && key != ""; i-- {
			if entries[i].Key == key {
				return &entries[i]
			}
		}
	}
	return nil
}
