package sharedstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// maxReservation is the longest reservation that is granted.
const maxReservation = time.Second

// reservation is a process's right to the next append to a history.
type reservation struct {
	by    *Process
	until time.Time
}

// reservedByOthersLocked returns how long the reservation of another process
// lasts.
func (p *Process) reservedByOthersLocked(id string) time.Duration {
	r, found := p.medium.reservations[id]
	if !found || r.by == p {
		return 0
	}
	return max(time.Until(r.until), 0)
}

// checkReservationLocked refuses a batch while another process has reserved the
// next append. It ends the process's own reservation.
func (p *Process) checkReservationLocked(ctx context.Context, id string, batch replay.Batch) error {
	if p.medium.reservations[id].by == p {
		delete(p.medium.reservations, id)
	}
	left := p.reservedByOthersLocked(id)
	if left == 0 || batch.Starts() || !p.medium.acceptsLocked(ctx, id, batch) {
		return nil
	}
	return &replay.ConflictError{ID: id, Expected: batch.Expect, Reason: replay.ConflictReserved, Head: batch.Expect, ReservedFor: left}
}

// acceptsLocked reports whether nothing but a reservation is against a batch that
// starts no history.
func (m *Medium) acceptsLocked(ctx context.Context, id string, batch replay.Batch) bool {
	head, err := m.memory.Load(ctx, id, replay.Cursor{})
	if err != nil || head.Cursor != batch.Expect || m.rolledBack[id] || batch.Validate() != nil ||
		batch.ExpectMeta != nil && !bytes.Equal(batch.ExpectMeta, head.Meta) {
		return false
	}
	if !batch.NewKeys {
		return true
	}
	keys := make([]string, len(batch.Entries))
	for i := range batch.Entries {
		keys[i] = batch.Entries[i].Key
	}
	known, err := m.memory.Find(ctx, id, keys)
	return err == nil && len(known) == 0
}

// reserveLocked grants what a batch asks for that was refused because the head
// has moved on.
func (p *Process) reserveLocked(id string, batch replay.Batch, refusal error) {
	conflict, ok := errors.AsType[*replay.ConflictError](refusal)
	if batch.Reserve > 0 && ok && conflict.Reason == replay.ConflictMoved && p.reservedByOthersLocked(id) == 0 {
		p.medium.reservations[id] = reservation{by: p, until: time.Now().Add(min(batch.Reserve, maxReservation))}
	}
}
