package replay

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The index of keys and the sum of bytes are updated step by step. The test
// compares them with the entries that are kept.
func TestHistory_IndexAndBytes(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, 0))
	for _, options := range []MemoryOptions{{MaxEntries: 1}, {MaxEntries: 7}, {MaxEntries: -1, MaxBytes: 2000}, {MaxEntries: 20, MaxBytes: 1500}} {
		m, err := NewMemory(&options)
		if err != nil {
			t.Fatal(err)
		}
		var head Cursor
		for step := range 500 {
			batch := Batch{Expect: head}
			if step%100 == 0 { // start, and restart
				head = Cursor{Epoch: head.Epoch + 1}
			}
			for range 1 + random.IntN(4) {
				head = head.Next()
				entry := Entry{Cursor: head, Data: make([]byte, random.IntN(200))}
				if random.IntN(3) > 0 {
					entry.Key = fmt.Sprint(random.IntN(30))
				}
				batch.Entries = append(batch.Entries, entry)
			}
			if batch.Starts() || random.IntN(4) == 0 {
				batch.Snapshot = []byte("state")
			}
			if err := m.Append(t.Context(), "id", batch); err != nil {
				t.Fatal(err)
			}
			checkIndex(t, m.shard("id").histories["id"])
		}
	}
}

func checkIndex(t *testing.T, h *history) {
	t.Helper()
	keys, bytes := make(map[string]uint64), 0
	for i := range h.entries.len() {
		entry := h.entries.at(i)
		bytes += len(entry.Key) + len(entry.Data) + 128
		if entry.Key != "" {
			keys[entry.Key] = entry.Cursor.Revision
		}
	}
	needed := int(h.head.Revision - h.snapshotAt)
	if h.entries.len() < needed {
		t.Fatalf("at %s: %d entries are kept, but the snapshot is of %d", h.head, h.entries.len(), h.snapshotAt)
	}
	if h.entries.len() > max(needed, h.limits.MaxEntries) {
		t.Fatalf("at %s: %d entries are kept of %d, up to %d", h.head, h.entries.len(), needed, h.limits.MaxEntries)
	}
	if h.bytes != bytes || bytes > h.limits.MaxBytes && h.entries.len() > needed {
		t.Fatalf("at %s: %d bytes are counted of %d, up to %d", h.head, h.bytes, bytes, h.limits.MaxBytes)
	}
	if len(h.keys) != len(keys) {
		t.Fatalf("at %s: the index has %d keys of %d", h.head, len(h.keys), len(keys))
	}
	for key, revision := range keys {
		if h.keys[key] != revision {
			t.Fatalf("at %s: the index has %q at %d; want %d", h.head, key, h.keys[key], revision)
		}
	}
}
