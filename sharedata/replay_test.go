package sharedata_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// renamed is a history of n renames in a state of 100 items, and its states by
// revision.
func renamed(t *testing.T, store replay.Store, n int) (m *sharedata.Manager, states map[uint64]string) {
	t.Helper()
	m = newManager(t, &sharedata.Options{Store: store})
	first, err := m.Create(t.Context(), "x", items(100), renameItem)
	if err != nil {
		t.Fatal(err)
	}
	states = map[uint64]string{1: string(first.State)}
	for i := range n {
		data := rename{fmt.Sprint("item-", i%110), fmt.Sprintf("%080d", i)} // some are rejected
		if _, err := m.Propose(t.Context(), sharedata.Proposal{ShareDataID: "x", FunctionID: "rename", Data: data}); err != nil {
			t.Fatal(err)
		}
		at := mustGet(t, m, "x")
		states[at.Cursor.Revision] = string(at.State)
	}
	return m, states
}

func TestStateAt(t *testing.T) {
	m, states := renamed(t, newMemory(t, nil), 150)
	epoch := mustGet(t, m, "x").Cursor.Epoch
	for revision, want := range states {
		got, err := m.StateAt(t.Context(), "x", replay.Cursor{Epoch: epoch, Revision: revision})
		if err != nil || string(got) != want {
			t.Errorf("revision %d: another state, %v", revision, err)
		}
	}
	for cursor, want := range map[replay.Cursor]error{
		{Epoch: epoch, Revision: 152}:    replay.ErrFutureCursor,
		{Epoch: epoch + 1, Revision: 10}: replay.ErrUnknownEpoch,
		{}:                               replay.ErrUnknownEpoch,
		{Epoch: epoch}:                   sharedata.ErrStateUnknown,
	} {
		if got, err := m.StateAt(t.Context(), "x", cursor); !errors.Is(err, want) {
			t.Errorf("%s: %.20s, %v; want %v", cursor, got, err, want)
		}
	}
	if _, err := m.StateAt(t.Context(), "y", replay.Cursor{Epoch: 1, Revision: 1}); !errors.Is(err, sharedata.ErrUnknownShareData) {
		t.Error(err)
	}
}

// Where the store has trimmed the first entry, the states after the newest snapshot are
// known, and no others.
func TestStateAt_Trimmed(t *testing.T) {
	m, states := renamed(t, newMemory(t, &replay.MemoryOptions{MaxEntries: 2}), 150)
	epoch, known, unknown := mustGet(t, m, "x").Cursor.Epoch, 0, 0
	for revision := uint64(1); revision <= 151; revision++ {
		got, err := m.StateAt(t.Context(), "x", replay.Cursor{Epoch: epoch, Revision: revision})
		switch {
		case err == nil && string(got) == states[revision]:
			known++
		case errors.Is(err, replay.ErrCursorTooOld) || errors.Is(err, sharedata.ErrStateUnknown):
			if unknown++; known > 0 {
				t.Errorf("revision %d is not known, and an earlier one is: %v", revision, err)
			}
		default:
			t.Errorf("revision %d: %v", revision, err)
		}
	}
	if known < 2 || unknown == 0 {
		t.Errorf("%d states are known, %d are not", known, unknown)
	}
}

// Where the store has trimmed the first entry and keeps the one at the newest snapshot,
// the state there is known.
func TestStateAt_Snapshot(t *testing.T) {
	store := newMemory(t, &replay.MemoryOptions{MaxEntries: 100})
	m, states := renamed(t, store, 150)
	head, err := store.Load(t.Context(), "x", replay.Cursor{})
	if err != nil || head.Oldest == 1 || head.Oldest >= head.SnapshotRevision {
		t.Fatalf("oldest entry %d, snapshot %d, %v", head.Oldest, head.SnapshotRevision, err)
	}
	at := replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.SnapshotRevision}
	if got, err := m.StateAt(t.Context(), "x", at); err != nil || string(got) != states[at.Revision] {
		t.Errorf("another state, %v", err)
	}
}

func TestReplay(t *testing.T) {
	m, states := renamed(t, newMemory(t, nil), 150)
	entries := wholeHistory(t, m, "x")
	for skip, known := range map[int]bool{0: true, 1: false} {
		n := 0
		for event, err := range sharedata.Replay(all(entries[skip:])) {
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if known {
				want = states[event.Revision()]
			}
			if string(event.State) != want {
				t.Errorf("revision %d has another state", event.Revision())
			}
			n++
		}
		if n != len(entries)-skip {
			t.Errorf("%d events for %d entries", n, len(entries)-skip)
		}
	}
}

func all(entries []sharedata.Entry) iter.Seq2[sharedata.Entry, error] {
	return func(yield func(sharedata.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
