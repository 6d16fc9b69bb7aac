package replaytest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/safe-go/safe/replay"
)

func readersSeeNoHoles(f *fixture) {
	for _, epochs := range []epochs{{number: 1}, {number: 12}, {number: 12, restart: true}} {
		f.readWhileWriting(f.open(), unbounded, epochs)
	}
}

func trimmedReadersSeeNoHoles(f *fixture) {
	for _, epochs := range []epochs{{number: 1}, {number: 12, restart: true}} {
		f.readWhileWriting(f.openBounded(5), 5, epochs)
	}
}

// epochs says how a history is written.
type epochs struct {
	number int
	// restart restarts the history after each epoch, instead of removing it and
	// starting it again.
	restart bool
}

// unbounded is the bound of a store that trims nothing in these tests.
const unbounded = -1

// entryAt is the entry that readWhileWriting writes at a position. It follows
// from the position alone, so that a reader can check it.
func entryAt(cursor replay.Cursor) replay.Entry {
	return replay.Entry{Cursor: cursor, Key: "key " + cursor.String(), Data: []byte("data " + cursor.String())}
}

// stateAt is the snapshot of the state at a position.
func stateAt(cursor replay.Cursor) []byte { return []byte("state at " + cursor.String()) }

// metaAt is the meta of a head and its newest snapshot.
func metaAt(head replay.Cursor, snapshot uint64) []byte {
	return fmt.Appendf(nil, "meta of %s with the snapshot of %d", head, snapshot)
}

// readWhileWriting writes a history while readers check each result against what
// was committed.
func (f *fixture) readWhileWriting(h *handle, bound int, epochs epochs) {
	f.Helper()
	const batches, readers = 120, 3
	handles := []*handle{h, f.second(h)}
	written, failed := make(chan struct{}), make(chan struct{})
	fail := sync.OnceFunc(func() { close(failed) })
	hasRead := make(chan struct{})
	// The writer waits for a reader after every other batch, so that reads and
	// writes alternate however fast the store is.
	pace := func(batch int) {
		if batch%2 == 1 {
			select {
			case <-hasRead:
			case <-failed:
			}
		}
	}
	f.together(1+readers, func(i int) error {
		if i == 0 {
			defer close(written)
			return writeEpochs(f, h.store, epochs, batches/epochs.number, pace)
		}
		r := reader{fixture: f, store: handles[i%2].store, bound: bound, restart: epochs.restart}
		for {
			last := ended(written)
			if err := r.readOn(); err != nil {
				fail()
				return err
			}
			if last {
				return nil
			}
			select {
			case hasRead <- struct{}{}:
			default:
				runtime.Gosched()
			}
		}
	})
}

// writeEpochs writes a history in epochs of that many batches each, and calls
// pace after each batch.
func writeEpochs(f *fixture, store replay.Store, epochs epochs, batches int, pace func(batch int)) error {
	var head replay.Cursor
	var snapshot uint64
	for epoch := range epochs.number {
		for i := range batches {
			batch := replay.Batch{Expect: head}
			if i == 0 {
				head = replay.Cursor{Epoch: firstEpoch + uint64(epoch)}
			}
			for range 1 + i%3 {
				head = head.Next()
				batch.Entries = append(batch.Entries, entryAt(head))
			}
			if i%4 == 0 {
				batch.Snapshot, snapshot = stateAt(head), head.Revision
			}
			batch.Meta = metaAt(head, snapshot)
			batch.Remove = !epochs.restart && i == batches-1 && epoch < epochs.number-1
			if err := store.Append(f.ctx, "id", batch); err != nil {
				return fmt.Errorf("the only writer, at %s: %w", batch.Expect, err)
			}
			if batch.Remove {
				head = replay.Cursor{}
			}
			pace(i)
		}
	}
	return nil
}

// reader follows the history that writeEpochs writes.
type reader struct {
	*fixture
	store   replay.Store
	bound   int
	restart bool          // the history is restarted and never removed
	at      replay.Cursor // the entries up to here were read or are trimmed
	// head is the newest head that was loaded, with the snapshot of that revision.
	head     replay.Cursor
	snapshot uint64
	loaded   int // how often
}

// readOn loads the head, every other time as one who has the state where the reader
// was, and reads up to it, from the newest snapshot and from there.
func (r *reader) readOn() error {
	var have replay.Cursor
	if r.loaded++; r.loaded%2 == 0 {
		have = r.at
	}
	head, err := r.store.Load(r.ctx, "id", have)
	if errors.Is(err, replay.ErrNotFound) && (!r.restart || r.head.IsZero()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if r.head.After(head.Cursor) {
		return fmt.Errorf("load: the head went back from %s to %s", r.head, head.Cursor)
	}
	snapshotAt := replay.Cursor{Epoch: head.Cursor.Epoch, Revision: head.SnapshotRevision}
	snapshot := stateAt(snapshotAt)
	if head.CanContinue(have) {
		snapshot = nil
	}
	if string(head.Snapshot) != string(snapshot) || string(head.Meta) != string(metaAt(head.Cursor, head.SnapshotRevision)) {
		return fmt.Errorf("load: head %s has snapshot %q after %d and meta %q", head.Cursor, head.Snapshot, head.SnapshotRevision, head.Meta)
	}
	if head.Oldest > head.SnapshotRevision+1 {
		return fmt.Errorf("load: head %s has oldest %d, but its snapshot is of %d", head.Cursor, head.Oldest, head.SnapshotRevision)
	}
	if r.bound == unbounded && head.Oldest != 1 {
		return fmt.Errorf("load: head %s has oldest %d, but nothing had to be trimmed", head.Cursor, head.Oldest)
	}
	if head.Cursor.Epoch != r.head.Epoch {
		r.at = replay.Cursor{Epoch: head.Cursor.Epoch}
	}
	r.head, r.snapshot = head.Cursor, head.SnapshotRevision
	for _, after := range []replay.Cursor{snapshotAt, r.at} {
		for r.at = after; r.at.Revision < head.Cursor.Revision; {
			ended, err := r.readPage()
			if ended || err != nil {
				return err
			}
		}
	}
	return nil
}

// readPage reads a few entries. It reports whether the epoch has ended.
func (r *reader) readPage() (ended bool, err error) {
	entries, err := r.store.Read(r.ctx, "id", r.at, 10)
	refusal, refused := errors.AsType[*replay.CursorError](err)
	switch {
	case errors.Is(err, replay.ErrNotFound) && !r.restart:
		return true, nil
	case errors.Is(err, replay.ErrUnknownEpoch) && refused && refusal.Head.Epoch > r.at.Epoch:
		return true, nil
	case errors.Is(err, replay.ErrCursorTooOld) && refused && r.bound != unbounded && refusal.Oldest > r.at.Revision+1 &&
		(r.at.Revision < r.snapshot || refusal.Head.After(r.head)): // that is, there is a newer snapshot
		r.at.Revision = refusal.Oldest - 1
		return false, nil
	case err != nil:
		return true, fmt.Errorf("read after %s, when the head was %s: %w", r.at, r.head, err)
	case len(entries) == 0:
		return true, fmt.Errorf("read after %s, when the head was %s: no entries", r.at, r.head)
	}
	for _, entry := range entries {
		r.at = r.at.Next()
		if difference := differ(entry, entryAt(r.at)); difference != "" {
			return true, fmt.Errorf("read when the head was %s: %s", r.head, difference)
		}
	}
	return false, nil
}
