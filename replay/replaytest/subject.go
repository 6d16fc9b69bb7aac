package replaytest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/safe-go/safe/replay"
)

// subject is the store under test with calls that end the test where they
// fail, and comparisons that say what differs.
type subject struct {
	*fixture
	store replay.Store
}

// all is more than any history of the suite has.
const all = math.MaxInt32

func (s *subject) append(id string, batch replay.Batch) {
	s.Helper()
	if err := s.store.Append(s.ctx, id, batch); err != nil {
		s.Fatalf("Append to %.40q at %s: %v", id, batch.Expect, err)
	}
}

// commit appends the batch and notes it in the expected history. It returns the
// oldest revision that is kept then.
func (s *subject) commit(id string, want *history, batch replay.Batch) (oldest uint64) {
	s.Helper()
	s.append(id, batch)
	want.add(batch)
	if batch.Remove {
		return batch.Last().Revision + 1
	}
	return s.load(id).Oldest
}

// started starts the history of an id with the entries, or with one.
func (s *subject) started(id string, entries ...replay.Entry) *history {
	s.Helper()
	if len(entries) == 0 {
		entries = contents("first")
	}
	want := &history{}
	s.commit(id, want, start(firstEpoch, entries...))
	return want
}

// conflict appends a batch that must be refused as in conflict.
func (s *subject) conflict(id string, batch replay.Batch) *replay.ConflictError {
	s.Helper()
	err := s.store.Append(s.ctx, id, batch)
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		s.Fatalf("Append to %.40q, expecting %s, from %s: error %v, want a ConflictError",
			id, batch.Expect, firstOf(batch), err)
	}
	if !errors.Is(err, replay.ErrConflict) {
		s.Errorf("a ConflictError is not an ErrConflict: %v", err)
	}
	if conflict.ID != id || conflict.Expected != batch.Expect {
		s.Errorf("ConflictError says %.40q, expected %s; want %.40q, %s",
			conflict.ID, conflict.Expected, id, batch.Expect)
	}
	reasons := map[replay.ConflictReason]bool{
		replay.ConflictMoved:     conflict.Head != batch.Expect,
		replay.ConflictRemoved:   true,
		replay.ConflictReplaced:  conflict.Head == batch.Expect,
		replay.ConflictKnownKeys: conflict.Head == batch.Expect && conflict.Known != nil,
		replay.ConflictReserved:  conflict.Head == batch.Expect && conflict.ReservedFor > 0,
	}
	if !reasons[conflict.Reason] ||
		conflict.Known != nil && conflict.Reason != replay.ConflictKnownKeys ||
		conflict.ReservedFor != 0 && conflict.Reason != replay.ConflictReserved {
		s.Errorf("expecting %s of %.40q: ConflictError has reason %q, head %s, %d known, reserved for %v; they contradict each other",
			batch.Expect, id, conflict.Reason, conflict.Head, len(conflict.Known), conflict.ReservedFor)
	}
	return conflict
}

// conflictAt is conflict with a history that exists.
func (s *subject) conflictAt(id string, want *history, batch replay.Batch) {
	s.Helper()
	conflict := s.conflict(id, batch)
	if conflict.Head != want.head() || conflict.Reason == replay.ConflictRemoved {
		s.Errorf("expecting %s of %.40q: ConflictError has head %s, removed %t; want %s, false",
			batch.Expect, id, conflict.Head, conflict.Reason == replay.ConflictRemoved, want.head())
	}
	if conflict.Missed != nil {
		s.sameEntries("ConflictError.Missed", conflict.Missed, want.after(batch.Expect))
	}
}

// conflictReplaced is conflict with a history whose head is the expected one,
// but for its meta.
func (s *subject) conflictReplaced(id string, want *history, batch replay.Batch) {
	s.Helper()
	conflict := s.conflict(id, batch)
	if conflict.Reason != replay.ConflictReplaced || conflict.Head != want.head() || len(conflict.Missed) > 0 {
		s.Errorf("expecting meta %s of %.40q: ConflictError has head %s, replaced %t, %d missed; want %s, true, none",
			abbreviated(string(batch.ExpectMeta)), id, conflict.Head, conflict.Reason == replay.ConflictReplaced, len(conflict.Missed), want.head())
	}
}

// conflictKnown is conflict with a history that has some of the keys.
func (s *subject) conflictKnown(id string, want *history, batch replay.Batch, known []replay.Entry) {
	s.Helper()
	conflict := s.conflict(id, batch)
	if conflict.Known == nil || conflict.Head != want.head() || len(conflict.Missed) > 0 {
		s.Errorf("expecting new keys of %.40q: ConflictError has head %s, %d known, %d missed; want %s, %d known, none missed",
			id, conflict.Head, len(conflict.Known), len(conflict.Missed), want.head(), len(known))
	}
	s.sameEntries("ConflictError.Known", inOrder(conflict.Known), inOrder(known))
}

// conflictRemoved is conflict with a history that was removed at last.
func (s *subject) conflictRemoved(id string, last replay.Cursor, batch replay.Batch) {
	s.Helper()
	conflict := s.conflict(id, batch)
	// A store may forget where exactly the history ended, but must name an
	// epoch after which the next one is accepted.
	if conflict.Reason != replay.ConflictRemoved || conflict.Head != last && conflict.Head.Epoch <= last.Epoch {
		s.Errorf("%.40q was removed at %s: ConflictError has head %s, removed %t; want %s or a later epoch, true",
			id, last, conflict.Head, conflict.Reason == replay.ConflictRemoved, last)
	}
	if conflict.Missed != nil {
		s.Errorf("%.40q was removed: ConflictError has %d missed entries", id, len(conflict.Missed))
	}
}

func (s *subject) load(id string) replay.Head {
	s.Helper()
	head, err := s.store.Load(s.ctx, id)
	if err != nil {
		s.Fatalf("Load of %.40q: %v", id, err)
	}
	return head
}

func (s *subject) read(id string, after replay.Cursor, limit int) []replay.Entry {
	s.Helper()
	entries, err := s.store.Read(s.ctx, id, after, limit)
	if err != nil {
		s.Fatalf("Read of %.40q after %s: %v", id, after, err)
	}
	return entries
}

// readRefused reads after a cursor that must be refused for the reason.
func (s *subject) readRefused(id string, after replay.Cursor, reason error, head replay.Cursor, oldest uint64) {
	s.Helper()
	entries, err := s.store.Read(s.ctx, id, after, all)
	refusal, ok := errors.AsType[*replay.CursorError](err)
	if !ok || !errors.Is(err, reason) {
		s.Errorf("Read of %.40q at %s after %s: %d entries, error %v; want a CursorError, %v",
			id, head, after, len(entries), err, reason)
		return
	}
	if len(entries) != 0 {
		s.Errorf("Read of %.40q after %s: refused, but with %d entries", id, after, len(entries))
	}
	if refusal.ID != id || refusal.Cursor != after || refusal.Head != head || refusal.Oldest != oldest {
		s.Errorf("CursorError of %.40q: cursor %s, head %s, oldest %d; want %.40q: %s, %s, %d",
			refusal.ID, refusal.Cursor, refusal.Head, refusal.Oldest, id, after, head, oldest)
	}
}

// find returns what the keys find, oldest first.
func (s *subject) find(id string, keys ...string) []replay.Entry {
	s.Helper()
	entries, err := s.store.Find(s.ctx, id, keys)
	if err != nil {
		s.Fatalf("Find in %.40q: %v", id, err)
	}
	return inOrder(entries)
}

// inOrder returns the entries, oldest first.
func inOrder(entries []replay.Entry) []replay.Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b replay.Entry) int {
		return cmp.Or(cmp.Compare(a.Cursor.Epoch, b.Cursor.Epoch), cmp.Compare(a.Cursor.Revision, b.Cursor.Revision))
	})
}

func (s *subject) ids() []string {
	s.Helper()
	var ids []string
	for id, err := range s.store.IDs(s.ctx) {
		if err != nil {
			s.Fatalf("IDs: %v", err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// sameIDs compares what IDs yields, in any order.
func (s *subject) sameIDs(want []string) {
	s.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	if got := s.ids(); !slices.Equal(got, want) {
		s.Errorf("IDs yields %.40q; want %.40q", got, want)
	}
}

// holds compares the whole history, of which nothing may be trimmed.
func (s *subject) holds(id string, want *history) {
	s.Helper()
	s.sameHead(id, s.load(id), want, 1)
	s.sameEntries("Read of the whole history", s.read(id, want.zero(), all), want.entries)
}

// sameHead compares a head.
func (s *subject) sameHead(id string, got replay.Head, want *history, oldest uint64) {
	s.Helper()
	if got.Cursor != want.head() || got.Oldest != oldest {
		s.Errorf("Load of %.40q: head %s, oldest %d; want %s, %d", id, got.Cursor, got.Oldest, want.head(), oldest)
	}
	if !bytes.Equal(got.State, want.state()) {
		s.Errorf("Load of %.40q: state %.60q; want %.60q", id, got.State, want.state())
	}
	if !bytes.Equal(got.Meta, want.meta) {
		s.Errorf("Load of %.40q: meta %.60q; want %.60q", id, got.Meta, want.meta)
	}
}

// holdsNothing checks that the id has no history.
func (s *subject) holdsNothing(id string) {
	s.Helper()
	if head, err := s.store.Load(s.ctx, id); !errors.Is(err, replay.ErrNotFound) {
		s.Errorf("Load of %.40q: head %s, error %v; want ErrNotFound", id, head.Cursor, err)
	}
	if slices.Contains(s.ids(), id) {
		s.Errorf("IDs yields %.40q, which has no history", id)
	}
}

// sameEntries compares entries in order.
func (s *subject) sameEntries(what string, got, want []replay.Entry) {
	s.Helper()
	for i := range min(len(got), len(want)) {
		if difference := differ(got[i], want[i]); difference != "" {
			s.Errorf("%s: entry %d of %d: %s", what, i, len(want), difference)
			return
		}
	}
	if len(got) != len(want) {
		s.Errorf("%s: %d entries; want %d", what, len(got), len(want))
	}
}

// differ says in what two entries differ, if they do.
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
	note("state", string(got.State), string(want.State))
	return b.String()
}

// cancelled returns a context that has ended.
func (f *fixture) cancelled() context.Context {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	return ctx
}
