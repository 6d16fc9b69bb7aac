package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/safe-go/safe/replay"
)

// Append implements replay.Store. Batches that arrive while others are being
// committed, whatever their ids, are committed together and share the cost of
// one sync. Each is accepted or refused on its own. A context that ends while
// the batch waits takes it out, unless its commit has begun.
//
// An id may have up to 32,767 bytes, a snapshot 256 MiB, and so may the key and
// data of an entry together; more is a replay.ErrInvalidBatch. Where the file is
// no longer at its path, Append fails with ErrFileReplaced.
func (s *Store) Append(ctx context.Context, id string, batch replay.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(id, &batch); err != nil {
		return err
	}
	p := newPending(ctx, id, batch)
	if err := s.queue.add(p, func() { s.goroutines.Go(s.commitGroups) }); err != nil {
		return err
	}
	err := p.wait(ctx)
	if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
		s.addMissed(ctx, conflict)
	}
	return err
}

// validate says, as a replay.ErrInvalidBatch, why a batch can never be
// appended.
func validate(id string, batch *replay.Batch) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	if len(id) > maxIDBytes {
		return fmt.Errorf("%w: its id has %d bytes; this store takes at most %d", replay.ErrInvalidBatch, len(id), maxIDBytes)
	}
	if len(batch.Meta) > maxEntryBytes {
		return fmt.Errorf("%w: its meta has %d bytes; this store takes at most %d", replay.ErrInvalidBatch, len(batch.Meta), maxEntryBytes)
	}
	if len(batch.Snapshot) > maxEntryBytes {
		return fmt.Errorf("%w: its snapshot has %d bytes; this store takes at most %d", replay.ErrInvalidBatch, len(batch.Snapshot), maxEntryBytes)
	}
	for i := range batch.Entries {
		e := &batch.Entries[i]
		if size := entrySize(len(e.Key), len(e.Data)); size > maxEntryBytes {
			return fmt.Errorf("%w: entry %d has %d bytes; this store takes at most %d", replay.ErrInvalidBatch, i, size, maxEntryBytes)
		}
	}
	return nil
}

// The bounds of the missed entries in a conflict.
const (
	maxMissed      = 1000
	maxMissedBytes = 4 << 20
)

// addMissed reads the missed entries into a conflict, unless they are too many.
// It runs in the goroutine of Append and not in that of the group, so that other
// batches do not wait for it. By then the history may have moved on, which does
// not matter.
func (s *Store) addMissed(ctx context.Context, conflict *replay.ConflictError) {
	from, to := conflict.Expected, conflict.Head
	if conflict.Reason != replay.ConflictMoved || from.Epoch != to.Epoch || from.Revision >= to.Revision || to.Revision-from.Revision > maxMissed {
		return
	}
	n := int(to.Revision - from.Revision)
	missed, err := s.read(ctx, conflict.ID, from, n, maxMissedBytes)
	if err == nil && len(missed) == n {
		conflict.Missed = missed
	}
}

// checkConflict returns the head of the history, or a *replay.ConflictError if
// the history is not as a valid batch demands. The head is nil where there is no
// history. It changes nothing.
func (r *reader) checkConflict(id string, batch *replay.Batch) (*head, error) {
	h, err := r.head(id)
	if errors.Is(err, replay.ErrNotFound) {
		return nil, r.checkStart(id, batch)
	}
	if err != nil {
		return nil, err
	}
	conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: h.cursor}
	switch {
	case batch.Expect != h.cursor:
		conflict.Reason = replay.ConflictMoved
		return nil, conflict
	case h.cursor.Epoch <= r.rolledBack && batch.Last().Epoch <= r.rolledBack:
		conflict.Reason = replay.ConflictReplaced
		return nil, conflict
	case batch.ExpectMeta != nil && !bytes.Equal(batch.ExpectMeta, h.meta):
		conflict.Reason = replay.ConflictReplaced
		return nil, conflict
	case !batch.NewKeys:
		return h, nil
	}
	keys := make([]string, len(batch.Entries))
	for i := range batch.Entries {
		keys[i] = batch.Entries[i].Key
	}
	conflict.Reason = replay.ConflictKnownKeys
	conflict.Known, err = r.findKeys(h, keys)
	switch {
	case err != nil:
		return nil, err
	case conflict.Known != nil:
		return nil, conflict
	}
	return h, nil
}

// checkStart is checkConflict where there is no history.
func (r *reader) checkStart(id string, batch *replay.Batch) error {
	last, err := r.tombstone(id)
	if err != nil {
		return err
	}
	if last.cursor.Epoch < r.rolledBack {
		last.cursor = replay.Cursor{Epoch: r.rolledBack, Revision: 1}
	}
	if !batch.Expect.IsZero() || batch.Last().Epoch <= last.cursor.Epoch {
		conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: last.cursor, Reason: replay.ConflictMoved}
		if !last.cursor.IsZero() {
			conflict.Reason = replay.ConflictRemoved
		}
		return conflict
	}
	return nil
}

// writer is a reader that writes batches.
type writer struct {
	reader
	limits *retention
	// now is the time of the transaction, in milliseconds since 1970.
	now int64
}

// entriesFill is how full a page of entries is left when it is split. A history
// grows at its end only, so nearly full pages need not be split again.
const entriesFill = 0.9

func (s *Store) newWriter(tx *bbolt.Tx, now time.Time) (*writer, error) {
	w := &writer{reader: *s.newReader(tx, now), limits: &s.limits, now: now.UnixMilli()}
	if err := w.pages.verifyRoot(); err != nil {
		return nil, err
	}
	w.bucket(entriesBucket).FillPercent = entriesFill
	return w, nil
}

// write writes a batch that has no conflict. After an error the transaction must
// not be committed.
func (w *writer) write(id string, h *head, batch *replay.Batch) error {
	isNew := h == nil
	if isNew {
		var err error
		if h, err = w.start(id); err != nil {
			return err
		}
	}
	if batch.Remove {
		return w.remove(id, h, isNew, batch.Last())
	}
	if isNew {
		h.first = batch.Entries[0].Cursor
	}
	if err := w.updateSnapshot(h, batch); err != nil {
		return err
	}
	h.at = max(h.at, w.now)
	for i := range batch.Entries {
		if err := w.add(h, &batch.Entries[i]); err != nil {
			return err
		}
	}
	h.meta = batch.Meta
	if err := w.trim(h, len(batch.Entries)+trimPerAppend); err != nil {
		return err
	}
	return w.put(headsBucket, idKey(id), h.encode())
}

// start returns the head of a new history, and deletes the tombstone of the id's
// last one: the new one is in a later epoch.
func (w *writer) start(id string) (*head, error) {
	last, err := w.tombstone(id)
	if err != nil {
		return nil, err
	}
	if last.number != 0 {
		if err := w.deleteTombstone(id, last); err != nil {
			return nil, err
		}
	}
	number, err := w.newNumber()
	return &head{number: number, form: snapshotInParts}, err
}

// add puts an entry behind the head.
func (w *writer) add(h *head, e *replay.Entry) error {
	h.cursor = e.Cursor
	h.count++
	h.bytes += entrySize(len(e.Key), len(e.Data))
	if err := w.put(entriesBucket, entryKey(h.number, e.Cursor), encodeEntry(h.at, e)); err != nil {
		return err
	}
	if e.Key == "" {
		return nil
	}
	return w.put(keysBucket, keyKey(h.number, e.Key), appendCursor(nil, e.Cursor))
}

// remove ends a history. Its head is deleted at once, so that nothing else of it
// can be reached; deleteRemoved deletes the rest.
func (w *writer) remove(id string, h *head, isNew bool, last replay.Cursor) error {
	if !isNew {
		if err := w.delete(headsBucket, idKey(id)); err != nil {
			return err
		}
		if err := w.put(removedBucket, numberKey(h.number), nil); err != nil {
			return err
		}
	}
	if err := w.putTombstone(id, tombstone{cursor: last, at: w.now, number: h.number}); err != nil {
		return err
	}
	return w.expireTombstones(w.now - tombstoneAge.Milliseconds())
}
