package sharedstore

import (
	"context"
	"errors"
	"time"

	"github.com/safe-go/safe/replay"
)

// maxClaim is the longest claim that is granted.
const maxClaim = time.Second

// claim is a process's claim to the next turn at a history.
type claim struct {
	by    *Process
	until time.Time
}

// othersClaimLocked returns how long the claim of another process lasts.
func (p *Process) othersClaimLocked(id string) time.Duration {
	c, found := p.shared.claims[id]
	if !found || c.by == p {
		return 0
	}
	return max(time.Until(c.until), 0)
}

// waitForTurnLocked refuses a batch that would be committed out of turn. It ends
// the process's own claim.
func (p *Process) waitForTurnLocked(ctx context.Context, id string, batch replay.Batch) error {
	if p.shared.claims[id].by == p {
		delete(p.shared.claims, id)
	}
	left := p.othersClaimLocked(id)
	if left == 0 || batch.Starts() {
		return nil
	}
	if head, err := p.shared.memory.Load(ctx, id); err != nil || head.Cursor != batch.Expect {
		return nil // it is refused in any case
	}
	return &replay.ConflictError{ID: id, Expected: batch.Expect, Reason: replay.ConflictReserved, Head: batch.Expect, ReservedFor: left}
}

// claimLocked takes the next turn for a batch that was refused.
func (p *Process) claimLocked(id string, batch replay.Batch, refused error) {
	conflict, ok := errors.AsType[*replay.ConflictError](refused)
	if batch.Reserve <= 0 || !ok || conflict.Reason == replay.ConflictRemoved || conflict.Head == batch.Expect || p.othersClaimLocked(id) > 0 {
		return
	}
	p.shared.claims[id] = claim{by: p, until: time.Now().Add(min(batch.Reserve, maxClaim))}
}
