package replaytest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/safe-go/safe/replay"
)

// blobs returns byte strings that a store might trip over.
func blobs() [][]byte {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := bytes.Repeat(every, 1<<20/len(every))
	return [][]byte{
		{0},
		[]byte("\x00\x00\x00"),
		every,
		[]byte("\xff\xfe\xc3\x28\xed\xa0\x80 is not UTF-8"),
		[]byte("line\nline\r\nline\x1a"),
		[]byte(`{"a":[1,2,{"b":null}]}`),
		[]byte("null"),
		[]byte(" "),
		[]byte("*1\r\n$4\r\nQUIT\r\n"),
		[]byte("%s %d %%"),
		[]byte("\x1b[2J{}:*?[^a]\\"),
		large,
	}
}

func keepsContents(f *fixture) {
	s := f.open()
	for i, blob := range blobs() {
		id := string(rune('a' + i))
		want := &history{}
		first := start(firstEpoch, replay.Entry{Data: blob}, replay.Entry{State: []byte("state"), Data: []byte("data")})
		first.Meta = blob
		s.commit(id, want, first)
		s.holds(id, want)

		second := want.next(replay.Entry{Data: []byte("data"), State: blob, Key: "key"})
		second.Meta = []byte("meta")
		s.commit(id, want, second)
		s.holds(id, want)

		// Also where a refusal or a key brings them along.
		s.sameEntries("Find", s.find(id, "key"), want.entries[2:])
		s.conflictAt(id, want, follow(want.at(1), contents("lost")...))
		s.conflictKnown(id, want, newKeys(want.next(keyed("key")...)), want.entries[2:])
	}
	// Data may be empty, and so may the meta; the state stays what it was.
	want := s.started("empty", replay.Entry{State: []byte("state")}, replay.Entry{Data: []byte{}}, replay.Entry{Data: nil})
	s.holds("empty", want)

	s.keepsHandsOff()
}

// texts returns names that a store might confuse with one another or with
// something of its own. None is empty.
func texts() []string {
	long := strings.Repeat("long ", 1024/5)
	names := []string{
		"a", "A", "aa", "a ", " a", " ",
		"a:b", "a:", ":a", ":", "a/b", "a/b/c", "/", "//", "..", "../a", "a.b", "a|b", "a,b", "a;b", "a-b", "a_b",
		"a\x00b", "a\x00", "\x00", "\x00\x00", "a\nb", "a\r\nb", "a\tb", "\u2028", "\x7f",
		"{a}", "{a}b", "{", "}", "{}", "}{", "{{a}}", "a{b}c", "{}a", "{}{a}", "{a}{b}", "a}", "a}b{c}", "{a\x00}",
		"*", "?", "a*", "a?", "[a]", "[^a]", "[a-z]", "a[", "**", "\\*", "\n", "\n\n", "a\n", "\\", "a\\b", "'", `"`, "`", "$", "%", "%00", "%s", "#", "&", "=", "+", "<a>",
		"0", "00", "1", "1-1", "-1", "null", "true", "nil", "undefined",
		"id", "ids", "key", "keys", "meta", "head", "state", "stream", "history", "bucket",
		"é", "e\u0301", "É", "\u00c5", "\u212b", "ß", "ss", "ı", "i", "I", "İ", "ﬁ", "fi",
		"日本語", "עברית", "\u202eabc", "\u200b", "a\u200d", "\ufeffa", "\ufffd", "\U0010ffff",
		"🙂", "👩‍👩‍👧‍👦", "👩👩👧👦", "🇩🇪",
		long, long + "a", long + "b", strings.Repeat("é", 512), strings.Repeat("\x00", 1024),
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func keepsIDs(f *fixture) {
	s := f.open()
	names := texts()
	wants := make([]*history, len(names))
	for i, id := range names {
		s.holdsNothing(id)
		wants[i] = s.started(id, replay.Entry{Data: []byte("data of " + id), State: []byte("state of " + id), Key: "key"})
	}
	s.sameIDs(names)
	for i, id := range names {
		s.commit(id, wants[i], wants[i].next(contents("more")...))
		s.conflictAt(id, wants[i], start(firstEpoch+1, contents("lost")...))
	}
	for i, id := range names {
		s.holds(id, wants[i])
		s.sameEntries("Find", s.find(id, "key"), wants[i].entries[:1])
	}
	for i, id := range names[:len(names)/2] {
		s.append(id, removing(wants[i].next(contents("the end")...)))
	}
	s.sameIDs(names[len(names)/2:])
	for i, id := range names[len(names)/2:] {
		s.holds(id, wants[len(names)/2+i])
	}
}

func keepsKeys(f *fixture) {
	s := f.open()
	names := texts()
	want := s.started("id", keyed(names...)...)
	s.holds("id", want)
	for i, key := range names {
		s.sameEntries("Find", s.find("id", key), want.entries[i:i+1])
	}
	s.sameEntries("Find of all keys", s.find("id", names...), want.entries)
	s.sameEntries("Find of other keys", s.find("id", "aaa", "a\x01b", "b", strings.Repeat("long ", 1024/5)+"c"), nil)
}

// keepsIDsAndKeysApart writes ids and keys that are the same text where a store
// puts one behind the other.
func keepsIDsAndKeysApart(f *fixture) {
	s := f.open()
	wants := make(map[string]*history)
	var keys []string
	for _, separator := range []string{"", ":", "\x00", "/", "|", "-", ".", "}", "{", " ", "\n", "\xc3\xa9", "1", "\x01"} {
		for _, at := range []int{1, 2, 3} {
			name := []string{"a", "b", "c", "d"}
			id, key := strings.Join(name[:at], separator), strings.Join(name[at:], separator)
			keys = append(keys, key)
			if wants[id] == nil {
				wants[id] = &history{}
				s.commit(id, wants[id], newKeys(start(firstEpoch, keyed(key)...)))
			} else if wants[id].newest(key) == nil {
				s.commit(id, wants[id], newKeys(wants[id].next(keyed(key)...)))
			}
		}
	}
	for id, want := range wants {
		s.holds(id, want)
		s.finds(id, want, 1, keys...)
	}
}
