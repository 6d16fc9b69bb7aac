package replaytest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/safe-go/safe/replay"
)

// blobs returns byte strings that a store might not keep as they are.
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
	h := f.open()
	for i, blob := range blobs() {
		id, want := fmt.Sprint("id ", i), &history{}
		first := start(firstEpoch, replay.Entry{Data: blob}, replay.Entry{Data: []byte("data")})
		first.Meta = blob
		h.commit(id, want, first)
		h.holds(id, want)
		second := want.next(replay.Entry{Data: []byte("data"), Key: "key"})
		second.Meta, second.Snapshot = []byte("meta"), blob
		h.commit(id, want, second)
		h.holds(id, want)

		// A refusal and Find return the same contents.
		h.sameEntries("Find", h.find(id, "key"), want.entries[2:])
		h.moved(id, want, follow(want.at(1), contents("lost")...))
		h.refused(replay.ConflictKnownKeys, id, want, newKeys(want.next(keyed("key")...)), want.entries[2])
	}
	// Data may be empty, and so may the meta. An empty snapshot is none.
	want := h.started("empty", replay.Entry{}, replay.Entry{Data: []byte{}}, replay.Entry{Data: nil})
	batch := want.next(replay.Entry{})
	batch.Snapshot = []byte{}
	h.commit("empty", want, batch)
	h.holds("empty", want)

	// The store does not change what it is given.
	data, snapshot, meta := []byte("data"), []byte("snapshot"), []byte("meta")
	want = &history{}
	for i := range 4 {
		batch := follow(want.head(), replay.Entry{Data: data, Key: "key"})
		if i == 0 {
			batch = start(firstEpoch, batch.Entries...)
		}
		batch.Snapshot, batch.Meta = snapshot, meta
		h.commit("same slices", want, batch)
	}
	if string(data) != "data" || string(snapshot) != "snapshot" || string(meta) != "meta" {
		h.Errorf("Append changed what it was given to %q, %q, %q", data, snapshot, meta)
	}
}

// texts returns ids and keys that a store might confuse with one another or with
// names of its own. None is empty.
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
	h := f.open()
	names := texts()
	wants := make([]*history, len(names))
	for i, id := range names {
		h.holdsNothing(id, &history{})
		wants[i] = h.started(id, replay.Entry{Data: []byte("data of " + id), Key: "key"})
	}
	h.sameIDs(names...)
	for i, id := range names {
		h.commit(id, wants[i], wants[i].next(contents("more")...))
		h.moved(id, wants[i], start(firstEpoch+1, contents("lost")...))
	}
	for i, id := range names {
		h.holds(id, wants[i])
		h.sameEntries("Find", h.find(id, "key"), wants[i].entries[:1])
	}
	half := len(names) / 2
	for i, id := range names[:half] {
		h.commit(id, wants[i], wants[i].end())
	}
	h.sameIDs(names[half:]...)
	for i, id := range names[half:] {
		h.holds(id, wants[half+i])
	}
}

func keepsKeys(f *fixture) {
	h := f.open()
	names := texts()
	want := h.started("id", keyed(names...)...)
	h.holds("id", want)
	for i, key := range names {
		h.sameEntries("Find", h.find("id", key), want.entries[i:i+1])
	}
	h.sameEntries("Find of all keys", h.find("id", names...), want.entries)
	h.sameEntries("Find of other keys", h.find("id", "aaa", "a\x01b", "b", strings.Repeat("long ", 1024/5)+"c"), nil)

	// An id and a key may be the same text where a store joins them.
	wants := make(map[string]*history)
	var keys []string
	for _, separator := range []string{"", ":", "\x00", "/", "|", "-", ".", "}", "{", " ", "\n", "\xc3\xa9", "1", "\x01"} {
		for _, at := range []int{1, 2, 3} {
			parts := []string{"a", "b", "c", "d"}
			id, key := strings.Join(parts[:at], separator), strings.Join(parts[at:], separator)
			keys = append(keys, key)
			if wants[id] == nil {
				wants[id] = &history{}
				h.commit(id, wants[id], newKeys(start(firstEpoch, keyed(key)...)))
			} else if wants[id].newest(key) == nil {
				h.commit(id, wants[id], newKeys(wants[id].next(keyed(key)...)))
			}
		}
	}
	for id, want := range wants {
		h.holds(id, want)
		h.finds(id, want, 1, keys...)
	}
}

// keepsLongBatches commits as many entries at once as gather for a busy history
// while a slow medium commits the batch before.
func keepsLongBatches(f *fixture) {
	const n = 512
	h := f.open()
	entries := many("entry ", n)
	for i := range entries {
		entries[i].Data = append(entries[i].Data, make([]byte, 1000)...)
		entries[i].Key = fmt.Sprint("key ", i)
	}
	keys, want := keysOf(entries), &history{}
	h.commit("id", want, newKeys(start(firstEpoch, entries[:3]...)))
	h.commit("id", want, newKeys(want.next(entries[3:]...)))
	h.holds("id", want)
	h.sameEntries("Find", h.find("id", keys...), want.entries)
	h.moved("id", want, follow(want.at(3), entries...))
	h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(entries...)), want.entries...)
	h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(append(many("new ", n-1), entries[7])...)), want.entries[7])
	h.holds("id", want)

	h.commit("id", want, want.restart(firstEpoch+1, entries...))
	h.holds("id", want)
	h.sameEntries("Find", h.find("id", keys...), want.entries)
	h.commit("id", want, removing(want.next(entries...)))
	h.holdsNothing("id", want)
	h.commit("id", want, newKeys(start(firstEpoch+2, entries...)))
	h.holds("id", want)
}

// keepsResults checks that what a store has returned stays unchanged, whatever
// happens to the store then.
func keepsResults(f *fixture) {
	h := f.open()
	entries := make([]replay.Entry, 20)
	for i := range entries {
		data := bytes.Repeat(fmt.Append(nil, "data of entry ", i, " "), 200)
		entries[i] = replay.Entry{Key: fmt.Sprint("key ", i), Data: data}
	}
	batch, want := start(firstEpoch, entries...), &history{}
	batch.Meta = []byte("the meta")
	h.commit("id", want, batch)
	before := *want

	head := h.load("id")
	read := h.read("id", want.at(0), all)
	found := h.find("id", "key 3", "key 4")
	moved := h.refused(replay.ConflictMoved, "id", want, follow(want.at(10), contents("lost")...))
	known := h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("key 5")...)), want.entries[5])
	ids := h.ids()

	// Other contents take the same memory or pages, more than once.
	x, y := bytes.Repeat([]byte("x"), 30_000), bytes.Repeat([]byte("y"), 30_000)
	for i := range 20 {
		id := "id"
		if i > 0 {
			id = fmt.Sprint("other ", i)
			want = h.started(id)
		}
		h.commit(id, want, removing(want.next(replay.Entry{Data: x, Key: "x"})))
		h.commit(id, want, start(firstEpoch+1, replay.Entry{Data: y}))
	}
	if closer, ok := h.store.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			h.Fatalf("Close: %v", err)
		}
	}
	h.sameHead("id", replay.Cursor{}, head, &before, 1)
	h.sameEntries("what was read", read, before.entries)
	h.sameEntries("what was found", found, before.entries[3:5])
	h.sameEntries("what was missed", moved.Missed, before.entries[10:][:len(moved.Missed)])
	h.sameEntries("what was known", known.Known, before.entries[5:6])
	if len(ids) != 1 || ids[0] != "id" {
		h.Errorf("the ids that were yielded are %q now; want %q", ids, "id")
	}
}
