package bolt

import (
	"context"
	"errors"

	"github.com/safe-go/safe/replay"
)

// Append implements replay.Store. Batches that arrive while others are being
// committed, whatever their ids, are committed together: they share what it
// costs to have them on the disk. Each is judged on its own. A context that ends
// while the batch waits takes it out, unless its commit has begun.
//
// An id may have up to 32,767 bytes, and the key, data and state of an entry
// 256 MiB together; more is a replay.ErrInvalidBatch.
func (s *Store) Append(ctx context.Context, id string, batch replay.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(id, &batch); err != nil {
		return err
	}
	a := newAppending(ctx, id, batch)
	if err := s.queue.add(a, func() { s.goroutines.Go(s.work) }); err != nil {
		return err
	}
	err := a.wait(ctx)
	if conflict, ok := errors.AsType[*replay.ConflictError](err); ok {
		s.addMissed(ctx, conflict)
	}
	return err
}

// The bounds of what a refusal hands back of what was missed.
const (
	maxMissed      = 1000
	maxMissedBytes = 4 << 20
)

// errTooLarge: there is more than was allowed to be read.
var errTooLarge = errors.New("more than is read at once")

// addMissed says in the conflict what was missed, if that is not too much. It
// is looked up by the one who was refused, and not while others wait for the
// group; by then the history may have gone on, which does not matter.
func (s *Store) addMissed(ctx context.Context, conflict *replay.ConflictError) {
	from, to := conflict.Expected, conflict.Head
	if conflict.Reason == replay.ConflictRemoved || from.Epoch != to.Epoch || from.Revision >= to.Revision || to.Revision-from.Revision > maxMissed {
		return
	}
	n := int(to.Revision - from.Revision)
	missed, err := s.read(ctx, conflict.ID, from, n, maxMissedBytes)
	if err == nil && len(missed) == n {
		conflict.Missed = missed
	}
}
