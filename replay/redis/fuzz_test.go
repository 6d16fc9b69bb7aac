package redis

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/safe-go/safe/replay"
)

func FuzzParseAnnouncement(f *testing.F) {
	batch := keyed(start(firstEpoch, "a", "", "c"), "key", "", "")
	f.Add(string(announce(&batch, "token")))
	f.Add(string(announce(&replay.Batch{Entries: []replay.Entry{{Cursor: at(7), Data: make([]byte, maxAnnounced)}}, Remove: true}, "")))
	f.Add("\x02\x00\x031-1\x00\xff\xff\xff\xff")
	f.Add("\x01\x00\x031-1\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01d\x00\x00\x00\x01s") // of an earlier release
	f.Add("")
	f.Fuzz(func(t *testing.T, payload string) {
		a, err := parseAnnouncement(payload)
		if err != nil {
			if !reflect.DeepEqual(a, announcement{}) {
				t.Errorf("an error and %+v", a)
			}
			return
		}
		if a.last.Revision == 0 {
			t.Errorf("it ends at %s", a.last)
		}
		for i, entry := range a.entries {
			if want := a.last.Revision - uint64(len(a.entries)-1-i); entry.Cursor != (replay.Cursor{Epoch: a.last.Epoch, Revision: want}) {
				t.Fatalf("entry %d of %d is at %s, the last at %s", i, len(a.entries), entry.Cursor, a.last)
			}
		}
		// What is understood can be said.
		if len(a.entries) == 0 {
			return
		}
		batch := replay.Batch{Entries: a.entries, Remove: a.removed}
		again, err := parseAnnouncement(string(announce(&batch, a.token)))
		size := 0
		for _, entry := range a.entries {
			size += len(entry.Key) + len(entry.Data) + entryLengths
		}
		if size > maxAnnounced {
			a.entries = nil
		}
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%+v, %v; want %+v", again, err, a)
		}
	})
}

func FuzzIDsInKeys(f *testing.F) {
	for _, id := range []string{"", "id", "%", "{", "}", "{}", "%7B", "%25", "a}b", "\x00", "日本語", "*[?]\\"} {
		f.Add(id, "safe:")
	}
	f.Fuzz(func(t *testing.T, id, prefix string) {
		if strings.ContainsAny(prefix, "{}") {
			return
		}
		n := naming{prefix: prefix}
		k := n.keys(id)
		tags := make(map[string]bool)
		names := k.names()
		for _, name := range append(names[:], k.channel) {
			tags[hashTag(name)] = true
		}
		if len(tags) > 1 {
			t.Errorf("%q has keys in the slots of %v", id, tags)
		}
		if got, ok := n.id(k.head); !ok || got != id {
			t.Errorf("the id of %q is %q, %t; want %q", k.head, got, ok, id)
		}
		// Nothing but the key of an id is taken for one.
		if got, ok := n.id(id); ok && n.keys(got).head != id {
			t.Errorf("%q is taken for the head of %q", id, got)
		}
	})
}

// hashTag is the part of a key that Redis chooses its slot by.
func hashTag(key string) string {
	if _, after, found := strings.Cut(key, "{"); found {
		if tag, _, found := strings.Cut(after, "}"); found && tag != "" {
			return tag
		}
	}
	return key
}

// FuzzReply has the readers of replies read what no script returns.
func FuzzReply(f *testing.F) {
	f.Add([]byte("\x03\x01\x02at\x013\x02\x01\x043-14\x01\x00"))
	f.Add([]byte{3, 4, 1, 2, 'a', 't', 1, 3, '5', '-', '1', 2, 1, 3, 0})
	f.Add([]byte{3, 5, 1, 2, 'a', 't', 1, 3, '5', '-', '2', 2, 1, 2, 1, 3, '5', '-', '1', 1, 1, 's'})
	f.Add([]byte{3, 5, 1, 5, 'm', 'o', 'v', 'e', 'd', 1, 0, 2, 0, 2, 0, 3, 1, 3, 4, 1, 3, '5', '-', '2', 1, 1, 'd', 0, 0})
	s := open(f, nowhere(f, nil), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		result := anything(bytes.NewReader(data), 0)
		if head, r, err := headOf("id", result); err == nil {
			if head.Cursor.Epoch == 0 || head.Cursor.Revision == 0 || head.Oldest == 0 || head.Oldest > head.Cursor.Revision+1 {
				t.Errorf("a head at %s, oldest %d", head.Cursor, head.Oldest)
			}
			for _, entry := range r.entries() {
				if r.err == nil && entry.Cursor.IsZero() {
					t.Error("an entry has no position")
				}
			}
		}
		if head, r, err := headOf("id", result); err == nil {
			if r.snapshot(&head); r.err == nil && !head.CanContinue(head.Cursor) {
				t.Errorf("a snapshot of revision %d of a history at %s", head.SnapshotRevision, head.Cursor)
			}
		}
		batch := start(firstEpoch, "a", "b")
		k := naming{}.keys("id")
		s.committed(&k, &batch, "token", afterCode(result))
		conflict := &replay.ConflictError{Expected: at(3)}
		moved := next(at(3), "x")
		_ = s.missing("id", s.servers.asOne(), afterCode(result))
		if _, err := s.readConflict(t.Context(), conflict, codeMoved, &moved, afterCode(result)); err != nil {
			t.Error(err)
		}
		if n := len(conflict.Missed); n > 0 && (conflict.Missed[0].Cursor != at(4) || conflict.Missed[n-1].Cursor != conflict.Head) {
			t.Errorf("missed from %s to %s of a history at %s", conflict.Missed[0].Cursor, conflict.Missed[n-1].Cursor, conflict.Head)
		}
		versionOf(result)
		_, _, _ = s.page(result)
		text(result)
	})
}

// anything makes a value as a client may return it: nil, a text, a number, a list
// or a map.
func anything(in *bytes.Reader, depth int) any {
	kind, err := in.ReadByte()
	n, _ := in.ReadByte()
	if err != nil || depth > 5 {
		return nil
	}
	switch kind % 5 {
	case 1:
		text := make([]byte, n)
		read, _ := in.Read(text)
		return string(text[:read])
	case 2:
		var number [8]byte
		_, _ = in.Read(number[:n%8])
		return int64(binary.LittleEndian.Uint64(number[:]))
	case 3:
		items := make([]any, n%16)
		for i := range items {
			items[i] = anything(in, depth+1)
		}
		return items
	case 4:
		return map[any]any{"name": anything(in, depth+1)}
	}
	return nil
}
