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
	s.newestIsFound("id", want, 1, "twice")
	s.commit("id", want, want.next(keyed("twice", "twice")...))
	s.newestIsFound("id", want, 1, "twice")
	s.sameEntries("Find", s.find("id", "once"), want.entries[1:2])
}

// newestIsFound checks that a key that several entries carry finds the newest
// of them, and nothing that does not carry it or is no longer kept. Older ones
// may be found too.
func (s *subject) newestIsFound(id string, want *history, oldest uint64, key string) {
	s.Helper()
	var carriers []replay.Entry
	for _, entry := range want.entries {
		if entry.Key == key && entry.Cursor.Revision >= oldest {
			carriers = append(carriers, entry)
		}
	}
	found := s.find(id, key)
	for _, entry := range found {
		if !slices.ContainsFunc(carriers, func(c replay.Entry) bool { return differ(entry, c) == "" }) {
			s.Errorf("Find of %q: entry %s with key %q, oldest being %d", key, entry.Cursor, entry.Key, oldest)
		}
	}
	if len(carriers) > 0 {
		newest := carriers[len(carriers)-1]
		if len(found) == 0 || found[len(found)-1].Cursor != newest.Cursor {
			s.Errorf("Find of %q: %d entries without the newest, %s", key, len(found), newest.Cursor)
		}
	}
}
