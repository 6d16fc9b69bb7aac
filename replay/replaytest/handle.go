package replaytest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safe-go/safe/replay"
)

// handle is an open store, with calls that end the test if they fail, and
// comparisons that say what differs.
type handle struct {
	*fixture
	store replay.Store
}

// all is a limit above the length of any history of the suite.
const all = math.MaxInt32

// commit appends a batch and notes it in the expected history. It returns the
// oldest revision that is kept then.
func (h *handle) commit(id string, want *history, batch replay.Batch) (oldest uint64) {
	h.Helper()
	if err := h.store.Append(h.ctx, id, batch); err != nil {
		h.Fatalf("Append to %.40q at %s: %v", id, batch.Expect, err)
	}
	want.add(batch)
	if batch.Remove {
		return batch.Last().Revision + 1
	}
	return h.load(id).Oldest
}

// started starts the history of an id with the entries, or with one.
func (h *handle) started(id string, entries ...replay.Entry) *history {
	h.Helper()
	if len(entries) == 0 {
		entries = contents("first")
	}
	want := &history{}
	h.commit(id, want, start(firstEpoch, entries...))
	return want
}

// grown is a history that was written in batches of different lengths.
func (h *handle) grown(id string, batches int) *history {
	h.Helper()
	want := h.started(id)
	for i := range batches {
		entries := many("entry ", 1+i%4)
		entries[len(entries)-1].Key = string(rune('a' + i))
		batch := want.next(entries...)
		if i%3 == 1 {
			batch = withSnapshot(batch)
		}
		h.commit(id, want, batch)
	}
	return want
}

// refused appends a batch that must be refused for the reason; known are the
// entries with its keys that the refusal must have. The batch has a snapshot, which
// must be lost with it.
func (h *handle) refused(reason replay.ConflictReason, id string, want *history, batch replay.Batch, known ...replay.Entry) *replay.ConflictError {
	h.Helper()
	batch.Snapshot = []byte("lost state")
	err := h.store.Append(h.ctx, id, batch)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		h.Fatalf("Append to %.40q, expecting %s, from %s: error %v; want a ConflictError", id, batch.Expect, firstOf(batch), err)
	}
	// A store may forget where exactly a history was removed, but must name an
	// epoch after which the next one is accepted.
	atHead := conflict.Head == want.head() || reason == replay.ConflictRemoved && conflict.Head.Epoch > want.head().Epoch
	reservedFor := conflict.ReservedFor == 0
	if reason == replay.ConflictReserved {
		reservedFor = conflict.ReservedFor > 0 && conflict.ReservedFor <= time.Second
	}
	if !errors.Is(err, replay.ErrConflict) || conflict.ID != id || conflict.Expected != batch.Expect || conflict.Reason != reason || !atHead || !reservedFor {
		h.Errorf("Append to %.40q, expecting %s: ConflictError of %.40q, expecting %s, reason %q, head %s, reserved for %v; want reason %q, head %s",
			id, batch.Expect, conflict.ID, conflict.Expected, conflict.Reason, conflict.Head, conflict.ReservedFor, reason, want.head())
	}
	if len(conflict.Missed) > 0 {
		var missed []replay.Entry
		if reason == replay.ConflictMoved {
			missed = want.after(batch.Expect)
		}
		h.sameEntries("ConflictError.Missed", conflict.Missed, missed)
	}
	h.sameEntries("ConflictError.Known", inOrder(conflict.Known), inOrder(known))
	return conflict
}

// moved appends a batch that must be refused because of the head.
func (h *handle) moved(id string, want *history, batch replay.Batch) {
	h.Helper()
	h.refused(replay.ConflictMoved, id, want, batch)
}

// load returns the head with its snapshot.
func (h *handle) load(id string) replay.Head {
	h.Helper()
	return h.loadFor(id, replay.Cursor{})
}

// loadFor returns the head, for a caller who has the state at a position.
func (h *handle) loadFor(id string, have replay.Cursor) replay.Head {
	h.Helper()
	head, err := h.store.Load(h.ctx, id, have)
	if err != nil {
		h.Fatalf("Load of %.40q: %v", id, err)
	}
	return head
}

func (h *handle) read(id string, after replay.Cursor, limit int) []replay.Entry {
	h.Helper()
	entries, err := h.store.Read(h.ctx, id, after, limit)
	if err != nil {
		h.Fatalf("Read of %.40q after %s: %v", id, after, err)
	}
	return entries
}

// readRefused reads after a cursor that must be refused for the reason.
func (h *handle) readRefused(id string, want *history, after replay.Cursor, reason error, oldest uint64) {
	h.Helper()
	entries, err := h.store.Read(h.ctx, id, after, all)
	refusal, ok := errors.AsType[*replay.CursorError](err)
	if !ok || !errors.Is(err, reason) || len(entries) != 0 {
		h.Errorf("Read of %.40q at %s after %s: %d entries, error %v; want a CursorError, %v",
			id, want.head(), after, len(entries), err, reason)
		return
	}
	if refusal.ID != id || refusal.Cursor != after || refusal.Head != want.head() || refusal.Oldest != oldest {
		h.Errorf("CursorError of %.40q: cursor %s, head %s, oldest %d; want %.40q: %s, %s, %d",
			refusal.ID, refusal.Cursor, refusal.Head, refusal.Oldest, id, after, want.head(), oldest)
	}
}

// find returns what the keys find, oldest first.
func (h *handle) find(id string, keys ...string) []replay.Entry {
	h.Helper()
	entries, err := h.store.Find(h.ctx, id, keys)
	if err != nil {
		h.Fatalf("Find in %.40q: %v", id, err)
	}
	return inOrder(entries)
}

// finds checks what the keys find in a history that is kept from the revision
// oldest on, and returns it: for each key the newest entry and nothing else. What
// is from before the history was restarted may be left out.
func (h *handle) finds(id string, want *history, oldest uint64, keys ...string) []replay.Entry {
	h.Helper()
	found := h.find(id, keys...)
	for i, entry := range found {
		newest := want.newest(entry.Key)
		switch {
		case i > 0 && entry.Cursor == found[i-1].Cursor:
			h.Errorf("Find in %.40q: the entry at %s twice", id, entry.Cursor)
		case newest == nil || !slices.Contains(keys, entry.Key):
			h.Errorf("Find in %.40q: the entry at %s with key %.60q, which was not asked for or never carried", id, entry.Cursor, entry.Key)
		case differ(entry, *newest) != "":
			h.Errorf("Find in %.40q: not the newest entry with the key: %s", id, differ(entry, *newest))
		case entry.Cursor.Epoch == want.head().Epoch && entry.Cursor.Revision < oldest:
			h.Errorf("Find in %.40q: the entry at %s with key %.60q, oldest being %d", id, entry.Cursor, entry.Key, oldest)
		}
	}
	for _, key := range keys {
		newest := want.newest(key)
		if newest == nil || newest.Cursor.Epoch != want.head().Epoch || newest.Cursor.Revision < oldest {
			continue
		}
		if !slices.ContainsFunc(found, func(e replay.Entry) bool { return e.Cursor == newest.Cursor }) {
			h.Errorf("Find of %.60q in %.40q: %d entries without the newest, %s", key, id, len(found), newest.Cursor)
		}
	}
	return found
}

// inOrder returns the entries, oldest first.
func inOrder(entries []replay.Entry) []replay.Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b replay.Entry) int {
		return cmp.Or(cmp.Compare(a.Cursor.Epoch, b.Cursor.Epoch), cmp.Compare(a.Cursor.Revision, b.Cursor.Revision))
	})
}

// ids returns what IDs yields, sorted.
func (h *handle) ids() []string {
	h.Helper()
	var ids []string
	for id, err := range h.store.IDs(h.ctx) {
		if err != nil {
			h.Fatalf("IDs: %v", err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// sameIDs compares what IDs yields, in any order.
func (h *handle) sameIDs(want ...string) {
	h.Helper()
	want = slices.Sorted(slices.Values(want))
	if got := h.ids(); !slices.Equal(got, want) {
		h.Errorf("IDs yields %.40q; want %.40q", got, want)
	}
}

// holds compares the whole history, of which nothing may be trimmed.
func (h *handle) holds(id string, want *history) {
	h.Helper()
	h.sameHead(id, replay.Cursor{}, h.load(id), want, 1)
	h.sameEntries("Read of the whole history", h.read(id, want.at(0), all), want.entries)
}

// holdsNothing checks that the id has no history: it never had one, or only one
// that was removed, which then refuses every batch that is not in a later epoch.
func (h *handle) holdsNothing(id string, want *history) {
	h.Helper()
	if head, err := h.store.Load(h.ctx, id, replay.Cursor{}); !errors.Is(err, replay.ErrNotFound) {
		h.Errorf("Load of %.40q: head %s, error %v; want ErrNotFound", id, head.Cursor, err)
	}
	for _, after := range []replay.Cursor{want.at(0), want.at(1), want.head(), want.head().Next(), {}, {Epoch: firstEpoch}} {
		if entries, err := h.store.Read(h.ctx, id, after, all); !errors.Is(err, replay.ErrNotFound) || len(entries) > 0 {
			h.Errorf("Read of %.40q, which has no history, after %s: %d entries, error %v; want ErrNotFound", id, after, len(entries), err)
		}
	}
	if slices.Contains(h.ids(), id) {
		h.Errorf("IDs yields %.40q, which has no history", id)
	}
	h.sameEntries("Find where there is no history", h.find(id, append(keysOf(want.entries), "key", "")...), nil)
	reason := replay.ConflictMoved
	if want.removed {
		reason = replay.ConflictRemoved
		h.refused(reason, id, want, start(want.head().Epoch, contents("lost")...))
	}
	for _, expect := range []replay.Cursor{want.head(), want.at(want.head().Revision - 1), want.head().Next(), {Epoch: want.head().Epoch + 1, Revision: 1}} {
		if expect.Epoch > 0 && expect.Revision > 0 {
			h.refused(reason, id, want, follow(expect, contents("lost")...))
			h.refused(reason, id, want, removing(follow(expect, contents("lost")...)))
			restart := start(want.head().Epoch+2, contents("lost")...)
			restart.Expect = expect
			h.refused(reason, id, want, restart)
		}
	}
}

// sameHead compares a head that was loaded for a caller who has the state at a
// position.
func (h *handle) sameHead(id string, have replay.Cursor, got replay.Head, want *history, oldest uint64) {
	h.Helper()
	if got.Cursor != want.head() || got.Oldest != oldest || got.RestartAfter != 0 {
		h.Errorf("Load of %.40q: head %s, oldest %d, restart after %d; want %s, %d, 0", id, got.Cursor, got.Oldest, got.RestartAfter, want.head(), oldest)
	}
	snapshot := want.snapshot
	if !want.needsSnapshot(have) {
		snapshot = nil
	}
	if !bytes.Equal(got.Snapshot, snapshot) || got.SnapshotRevision != want.snapshotAt {
		h.Errorf("Load of %.40q at %s, having %s: snapshot %s after revision %d; want %s after %d",
			id, want.head(), have, abbreviated(string(got.Snapshot)), got.SnapshotRevision, abbreviated(string(snapshot)), want.snapshotAt)
	}
	if got.Oldest > want.snapshotAt+1 {
		h.Errorf("Load of %.40q: oldest %d; want all entries after the snapshot kept, which is of revision %d", id, got.Oldest, want.snapshotAt)
	}
	if !bytes.Equal(got.Meta, want.meta) {
		h.Errorf("Load of %.40q: meta %.60q; want %.60q", id, got.Meta, want.meta)
	}
}

// sameEntries compares entries in order.
func (f *fixture) sameEntries(what string, got, want []replay.Entry) {
	f.Helper()
	for i := range min(len(got), len(want)) {
		if difference := differ(got[i], want[i]); difference != "" {
			f.Errorf("%s: entry %d of %d: %s", what, i, len(want), difference)
			return
		}
	}
	if len(got) != len(want) {
		f.Errorf("%s: %d entries; want %d", what, len(got), len(want))
	}
}

// differ says how two entries differ; it is empty if they do not.
func differ(got, want replay.Entry) string {
	var b strings.Builder
	note := func(what, got, want string) {
		if got != want {
			b.WriteString(what + " is " + abbreviated(got) + ", want " + abbreviated(want) + "; ")
		}
	}
	note("cursor", got.Cursor.String(), want.Cursor.String())
	note("key", got.Key, want.Key)
	note("data", string(got.Data), string(want.Data))
	return b.String()
}

func abbreviated(text string) string {
	if len(text) > 60 {
		return fmt.Sprintf("%.60q… (%d bytes)", text, len(text))
	}
	return strconv.Quote(text)
}
