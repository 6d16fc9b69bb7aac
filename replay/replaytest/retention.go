package replaytest

import (
	"fmt"
	"maps"
	"testing"

	"github.com/safe-go/safe/replay"
)

// slack is how many entries more than its bound a bounded store may keep.
const slack = 1000

// trimmed returns a history that was written until the store, which keeps that
// many entries, has trimmed some, and the oldest revision left.
func (h *handle) trimmed(id string, entries int) (want *history, oldest uint64) {
	h.Helper()
	want = h.started(id)
	for oldest <= 10 {
		h.mustTrim(want, entries, 10)
		oldest = h.commit(id, want, withSnapshot(want.next(many(fmt.Sprint(len(want.entries), " "), 3)...)))
	}
	return want, oldest
}

// mustTrim ends the test if a store that keeps that many entries should have
// trimmed more of the history by now, whose batches all have snapshots.
func (h *handle) mustTrim(want *history, entries, trimmed int) {
	h.Helper()
	if len(want.entries) > entries+slack+trimmed {
		h.Fatalf("a store that keeps %d entries and may keep %d more did not trim %d of %d", entries, slack, trimmed, len(want.entries))
	}
}

// agrees checks that Load and Read agree on the oldest entry, which is kept back
// to the given number of entries at least.
func (h *handle) agrees(id string, want *history, oldest uint64, kept int) {
	h.Helper()
	h.sameHead(id, replay.Cursor{}, h.load(id), want, oldest)
	head := want.head()
	if oldest < 1 || oldest > head.Revision+1 {
		h.Fatalf("oldest is %d of a history at %s", oldest, head)
	}
	if missing := int(oldest) - 1; missing > 0 && len(want.entries)-missing < kept {
		h.Errorf("oldest is %d of a history at %s; want the newest %d entries kept", oldest, head, kept)
	}
	after := want.at(oldest - 1)
	h.sameEntries("Read of all that is kept", h.read(id, after, all), want.after(after))
	for back := uint64(2); back <= min(oldest, 4); back++ {
		h.readRefused(id, want, want.at(oldest-back), replay.ErrCursorTooOld, oldest)
	}
	if oldest > 1 {
		h.readRefused(id, want, want.at(0), replay.ErrCursorTooOld, oldest)
	}
	h.readRefused(id, want, head.Next(), replay.ErrFutureCursor, oldest)
	h.sameEntries("Read after the head", h.read(id, head, all), nil)
}

func trimsOldest(f *fixture) {
	for _, entries := range []int{1, 2, 7} {
		h := f.openBounded(entries)
		want := &history{}
		batch := start(firstEpoch, contents("first")...)
		for i, oldest := 0, uint64(1); oldest <= 20; i++ {
			h.mustTrim(want, entries, 20)
			batch.Meta = []byte("the meta")
			previous := oldest
			if oldest = h.commit("id", want, batch); oldest < previous {
				h.Fatalf("oldest went back from %d to %d", previous, oldest)
			}
			h.agrees("id", want, oldest, entries)
			batch = withSnapshot(want.next(many("entry ", 1+i%9)...))
		}
		// A batch of more than is kept.
		oldest := h.commit("id", want, withSnapshot(want.next(many("long ", 50)...)))
		h.agrees("id", want, oldest, entries)
	}
}

// keepsAfterSnapshot checks that no bound trims entries after the newest snapshot,
// and that each trims them after the next one.
func keepsAfterSnapshot(f *fixture) {
	opens := make(map[string]func(testing.TB) replay.Store)
	maps.Copy(opens, f.harness.OpenBoundedBy)
	if f.harness.OpenBounded != nil {
		opens["entries"] = func(t testing.TB) replay.Store { return f.harness.OpenBounded(t, 1) }
	}
	if len(opens) == 0 {
		f.Skipf("the harness has no OpenBounded and no OpenBoundedBy")
	}
	for name, open := range opens {
		f.Logf("bounded by %s", name)
		h := f.handle(open(f.TB))
		want := h.started("id")
		for range 2 {
			for i := range 12 {
				h.commit("id", want, want.next(keyed(fmt.Sprint("key ", i), "", "repeated")...))
				// Entries up to the snapshot may reach their age at any time.
				head := h.load("id")
				h.sameHead("id", replay.Cursor{}, head, want, head.Oldest)
				snapshot := want.at(want.snapshotAt)
				h.sameEntries("Read after the snapshot", h.read("id", snapshot, all), want.after(snapshot))
				h.finds("id", want, want.snapshotAt+1, keysOf(want.after(snapshot))...)
			}
			h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("key 0")...)), *want.newest("key 0"))
			for end, oldest := want.head().Revision, uint64(1); oldest <= end; {
				h.mustTrim(want, 1, int(end))
				oldest = h.commit("id", want, withSnapshot(want.next(many("then ", 20)...)))
			}
			h.commit("id", want, want.restart(want.head().Epoch+1, contents("over")...))
		}
	}
}

func forgetsKeys(f *fixture) {
	h := f.openBounded(4)
	want := h.started("id", keyed("key 0", "twice")...)
	for i, oldest := 1, uint64(1); oldest <= 15; i++ {
		h.mustTrim(want, 4, 15)
		entries := keyed(fmt.Sprint("key ", i), "")
		if i%3 != 2 {
			entries[1].Key = "twice"
		}
		oldest = h.commit("id", want, withSnapshot(want.next(entries...)))
		h.finds("id", want, oldest, keysOf(want.entries)...)
	}
	// A key that was forgotten is new again.
	h.commit("id", want, newKeys(want.next(keyed("key 0", "key 1")...)))
	known := want.entries[len(want.entries)-2:]
	h.sameEntries("Find of keys that are used again", h.find("id", "key 0", "key 1"), known)
	h.refused(replay.ConflictKnownKeys, "id", want, newKeys(want.next(keyed("key 0", "new", "key 1")...)), known...)
}
