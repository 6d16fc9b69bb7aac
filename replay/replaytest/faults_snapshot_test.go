package replaytest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/safe-go/safe/replay"
)

// faultsOfSnapshot are faults of which snapshot a store keeps and loads.
var faultsOfSnapshot = []fault{
	{name: "keeps the first snapshot of an epoch", store: choosesSnapshot(func(ever []snapshot, head replay.Cursor) snapshot {
		for _, s := range ever {
			if s.at.Epoch == head.Epoch {
				return s
			}
		}
		return snapshot{}
	}), caught: []string{"a snapshot replaces the one before", "a batch commits whole at the expected head", "handles see each other's changes",
		"readers see one epoch without holes", "random operations match a model"}},
	{name: "loads the snapshot before the newest", store: choosesSnapshot(func(ever []snapshot, _ replay.Cursor) snapshot {
		return snapshot{ever[len(ever)-1].at, ever[max(0, len(ever)-2)].state}
	}), caught: []string{"a snapshot replaces the one before", "a batch commits whole at the expected head", "handles see each other's changes"}},
	{name: "keeps the snapshot of the epoch before", store: choosesSnapshot(func(ever []snapshot, head replay.Cursor) snapshot {
		newest := ever[len(ever)-1]
		if before := ever[max(0, len(ever)-2)]; before.at.Epoch < newest.at.Epoch {
			return snapshot{newest.at, before.state}
		}
		return newest
	}), caught: []string{"a restart replaces the history", "a removed history starts in a later epoch only", "a snapshot replaces the one before"}},
	{name: "takes the head for the revision of the snapshot", store: loads(func(_ *faulty, _ string, head *replay.Head) {
		head.SnapshotRevision = head.Cursor.Revision
	}), caught: []string{"a snapshot replaces the one before", "readers see one epoch without holes", "random operations match a model"}},
	{name: "forgets the snapshot with a batch that has none", store: loads(func(_ *faulty, _ string, head *replay.Head) {
		if head.SnapshotRevision < head.Cursor.Revision {
			head.Snapshot = nil
		}
	}), caught: []string{"a snapshot replaces the one before", "readers see one epoch without holes"}},
	{name: "loads the snapshot after the head", store: func(s *faulty) {
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := s.Memory.Load(ctx, id, have)
			yield(ctx)
			if later, _ := s.Memory.Load(ctx, id, have); later.Snapshot != nil {
				head.Snapshot, head.SnapshotRevision = later.Snapshot, later.SnapshotRevision
			}
			return head, err
		}
	}, caught: []string{"readers see one epoch without holes", "readers of a trimmed history see no holes"}},

	{name: "loads the snapshot always", store: leavesOut(func(replay.Head, replay.Cursor) bool { return false }),
		caught: []string{"load leaves out a snapshot that is not needed", "random operations match a model"}},
	{name: "leaves out the snapshot at the head only", store: leavesOut(func(head replay.Head, have replay.Cursor) bool { return have == head.Cursor }),
		caught: []string{"load leaves out a snapshot that is not needed"}},
	{name: "leaves out a snapshot after the state", store: leavesOut(func(head replay.Head, have replay.Cursor) bool {
		return have.Epoch == head.Cursor.Epoch && have.Revision <= head.Cursor.Revision
	}), caught: []string{"load leaves out a snapshot that is not needed", "random operations match a model"}},
	{name: "leaves out the snapshot for a state of the future", store: leavesOut(func(head replay.Head, have replay.Cursor) bool {
		return have.Epoch == head.Cursor.Epoch && have.Revision >= head.SnapshotRevision
	}), caught: []string{"load leaves out a snapshot that is not needed"}},
	{name: "leaves out the snapshot for a state of another epoch", store: leavesOut(func(head replay.Head, have replay.Cursor) bool {
		have.Epoch = head.Cursor.Epoch
		return head.CanContinue(have)
	}), caught: []string{"load leaves out a snapshot that is not needed"}},
	{name: "leaves out the revision with the snapshot", store: loads(func(_ *faulty, _ string, head *replay.Head) {
		if head.Snapshot == nil {
			head.SnapshotRevision = 0
		}
	}), caught: []string{"load leaves out a snapshot that is not needed"}},

	{name: "keeps the snapshot of a refused batch", store: func(s *faulty) {
		lost := make(map[string][]byte)
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			err := s.Memory.Append(ctx, id, batch)
			if err != nil && batch.Snapshot != nil {
				lost[id] = batch.Snapshot
			}
			return err
		}
		loads(func(_ *faulty, id string, head *replay.Head) {
			if lost[id] != nil {
				head.Snapshot = lost[id]
			}
		})(s)
	}, caught: []string{"a batch at another head is refused", "an invalid batch changes nothing", "another meta is refused", "a known key is refused",
		"an ended context changes nothing"}},
	{name: "starts without a snapshot", store: appends(func(batch replay.Batch) replay.Batch {
		if batch.Snapshot == nil && batch.Starts() {
			batch.Snapshot = []byte("none")
		}
		return batch
	}), caught: []string{"an invalid batch changes nothing"}},
	{name: "removes what it starts with a snapshot only", store: appendsFirst(func(_ *faulty, _ string, batch replay.Batch) error {
		if batch.Starts() && batch.Snapshot == nil {
			return replay.ErrInvalidBatch
		}
		return nil
	}), caught: []string{"a removed history is gone"}},
	{name: "makes snapshots valid UTF-8", store: appends(func(batch replay.Batch) replay.Batch {
		batch.Snapshot = bytes.ToValidUTF8(batch.Snapshot, []byte("\ufffd"))
		return batch
	}), caught: []string{"a snapshot replaces the one before", "contents come back byte for byte"}},
	{name: "keeps an empty snapshot", store: func(s *faulty) {
		empty := make(map[string]bool)
		appendsFirst(func(_ *faulty, id string, batch replay.Batch) error {
			empty[id] = batch.Snapshot != nil && len(batch.Snapshot) == 0
			return nil
		})(s)
		loads(func(_ *faulty, id string, head *replay.Head) {
			if empty[id] {
				head.Snapshot = nil
			}
		})(s)
	}, caught: []string{"contents come back byte for byte"}},
	{name: "trims entries after the snapshot", store: trimsAfterSnapshot,
		caught: []string{"entries after the snapshot are never trimmed", "random operations on a trimmed store match a model",
			"readers of a trimmed history see no holes"}},
	{name: "trims entries after the snapshot and claims to have them", store: func(s *faulty) {
		trimsAfterSnapshot(s)
		load := s.onLoad
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := load(ctx, id, have)
			head.Oldest = min(head.Oldest, head.SnapshotRevision+1)
			return head, err
		}
	}, caught: []string{"entries after the snapshot are never trimmed", "readers of a trimmed history see no holes", "a reopened store stays trimmed"}},
	{name: "trims bytes after the snapshot", harness: onlyBoundedBy("bytes", trimsAfterSnapshot), caught: []string{"entries after the snapshot are never trimmed"}},
	{name: "trims old entries after the snapshot", harness: onlyBoundedBy("age", trimsAfterSnapshot), caught: []string{"entries after the snapshot are never trimmed"}},
	{name: "never trims old entries", harness: func(h *Harness) {
		h.OpenBoundedBy["age"] = func(t testing.TB) replay.Store { return newMemory(t, &replay.MemoryOptions{MaxEntries: -1}) }
	}, caught: []string{"entries after the snapshot are never trimmed"}},
	{name: "keeps the keys of some entries", store: finds(func(s *faulty, id string, _ []string, found []replay.Entry) []replay.Entry {
		head := s.head(id).Cursor
		return slices.DeleteFunc(found, func(e replay.Entry) bool { return e.Cursor.Revision+20 < head.Revision })
	}), caught: []string{"entries after the snapshot are never trimmed", "random operations match a model"}},
	{name: "forgets the snapshot when it is reopened", harness: func(h *Harness) {
		h.Reopen = func(_ testing.TB, store replay.Store) replay.Store { return withoutSnapshots{store} }
	}, caught: []string{"a reopened store has everything", "random operations match a model"}},
}

// snapshot is the state after the entry at a position.
type snapshot struct {
	at    replay.Cursor
	state []byte
}

// choosesSnapshot loads what choose selects of all snapshots that an id ever had.
func choosesSnapshot(choose func(ever []snapshot, head replay.Cursor) snapshot) func(*faulty) {
	return func(s *faulty) {
		var mu sync.Mutex
		ever := make(map[string][]snapshot)
		s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			err := s.Memory.Append(ctx, id, batch)
			if err == nil && len(batch.Snapshot) > 0 && !batch.Remove {
				ever[id] = append(ever[id], snapshot{batch.Last(), batch.Snapshot})
			}
			return err
		}
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			mu.Lock()
			defer mu.Unlock()
			head, err := s.Memory.Load(ctx, id, have)
			if err == nil && head.Snapshot != nil {
				chosen := choose(ever[id], head.Cursor)
				head.Snapshot, head.SnapshotRevision = chosen.state, chosen.at.Revision
			}
			return head, err
		}
	}
}

// leavesOut changes for whom the snapshot is left out.
func leavesOut(needless func(head replay.Head, have replay.Cursor) bool) func(*faulty) {
	return func(s *faulty) {
		s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
			head, err := s.Memory.Load(ctx, id, replay.Cursor{})
			if needless(head, have) {
				head.Snapshot = nil
			}
			return head, err
		}
	}
}

// trimsAfterSnapshot has the Memory trim after each batch as if it had a snapshot.
func trimsAfterSnapshot(s *faulty) {
	var mu sync.Mutex
	newest := make(map[string]snapshot)
	s.onAppend = func(ctx context.Context, id string, batch replay.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		given := batch.Snapshot
		batch.Snapshot = []byte("as if")
		err := s.Memory.Append(ctx, id, batch)
		if err == nil && given != nil {
			newest[id] = snapshot{batch.Last(), given}
		}
		return err
	}
	s.onLoad = func(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
		mu.Lock()
		defer mu.Unlock()
		head, err := s.Memory.Load(ctx, id, have)
		head.Snapshot, head.SnapshotRevision = newest[id].state, newest[id].at.Revision
		if head.CanContinue(have) {
			head.Snapshot = nil
		}
		return head, err
	}
}

// onlyBoundedBy plants a fault in the stores of one of Harness.OpenBoundedBy.
func onlyBoundedBy(name string, plant func(*faulty)) func(*Harness) {
	return func(h *Harness) {
		open := h.OpenBoundedBy[name]
		h.OpenBoundedBy[name] = func(t testing.TB) replay.Store {
			s := open(t).(*faulty)
			plant(s)
			return s
		}
	}
}

// withoutSnapshots is a store that loads no snapshots.
type withoutSnapshots struct{ replay.Store }

func (s withoutSnapshots) Load(ctx context.Context, id string, have replay.Cursor) (replay.Head, error) {
	head, err := s.Store.Load(ctx, id, have)
	head.Snapshot = nil
	return head, err
}
