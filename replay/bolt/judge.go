package bolt

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/safe-go/safe/replay"
)

// judge says what speaks against a batch that is valid in itself; nil if
// nothing does. It changes nothing. The head is nil where there is no history.
func (r reading) judge(id string, batch *replay.Batch) (*head, error) {
	h, err := r.head(id)
	if errors.Is(err, replay.ErrNotFound) {
		return nil, r.judgeStart(id, batch)
	}
	if err != nil {
		return nil, err
	}
	conflict := &replay.ConflictError{ID: id, Expected: batch.Expect, Head: h.cursor}
	switch {
	case batch.Expect != h.cursor:
		conflict.Reason = replay.ConflictMoved
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
	conflict.Known, err = r.find(h, keys)
	switch {
	case err != nil:
		return nil, err
	case conflict.Known != nil:
		return nil, conflict
	}
	return h, nil
}

// judgeStart is judge where there is no history.
func (r reading) judgeStart(id string, batch *replay.Batch) error {
	last, err := r.ended(id)
	if err != nil {
		return err
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
	for i := range batch.Entries {
		e := &batch.Entries[i]
		if size := entrySize(len(e.Key), len(e.Data), len(e.State)); size > maxEntryBytes {
			return fmt.Errorf("%w: entry %d has %d bytes; this store takes at most %d", replay.ErrInvalidBatch, i, size, maxEntryBytes)
		}
	}
	return nil
}
