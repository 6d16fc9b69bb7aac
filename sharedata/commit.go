package sharedata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// committer commits the changes of one ShareData. One goroutine at a time owns it:
// the one that runs for the ShareData. If a function overruns its deadline, another
// goroutine becomes the owner of the committer as it is.
type committer struct {
	shareData *shareData

	// requests were taken from the queue and have no reply yet. They are the next
	// to be decided, in this order.
	requests []*request
	// limit is how many requests the next attempt may decide; 0 for any number.
	// Requests that arrive while earlier verdicts are learned are not added to the
	// batch, or one proposer could have the others wait for all its requests.
	limit int
	// known are earlier verdicts that were learned for this batch, at the position
	// knownAt.
	known   verdicts
	knownAt replay.Cursor
	// refreshedUpTo is the newest request that was queued when the position was
	// last refreshed: for requests up to it, the position is fresh.
	refreshedUpTo uint64

	// needsRefresh says that an append failed: the store may hold more than the
	// current position.
	needsRefresh bool
	// newestEpoch is the latest epoch that is known to have been used.
	newestEpoch uint64
}

// commit processes one batch:
//
//  1. take the requests that wait, the proposers in turn
//  2. evaluate each on the state that the one before it left
//  3. number the entries and chain their hashes
//  4. append them at the position they were decided at: the only point of commit
//     conflict: another process was first, or there is an earlier verdict on one
//     of the proposals; learn that, then go back to 2
//  5. make the new state current and notify the observers, in order
//  6. reply to the proposers
//
// No entry is visible before the store has taken it, neither by 5 nor by 6; and 5
// comes before 6, so a proposer who has a verdict can see its effect.
//
// It returns false if this goroutine was replaced by another one, which begins
// again with the same requests and their results.
func (c *committer) commit(w *worker) (owner bool) {
	s := c.shareData
	c.limit = 0
	var conflicts contention
	c.known.found, c.known.missing = nil, nil // or they would grow without bound
	for {
		first := c.request(0)
		if first == nil {
			return true
		}
		conflicts.began = time.Now()
		if err := c.prepare(first); err != nil {
			c.failAll(err)
			return true
		}
		d, owner := c.decide(w)
		if !owner {
			return false
		}
		if len(d.undecided) > 0 {
			if err := c.lookUp(d); err != nil {
				c.reply(d, err)
				return true
			}
			continue
		}
		var err error
		if len(d.events) > 0 {
			if err = c.append(d, conflicts.reservation()); errors.Is(err, replay.ErrConflict) {
				if err = c.learn(d, err, &conflicts); err != nil {
					c.reply(d, err)
					return true
				}
				continue
			}
			if err == nil {
				c.register(d)
				s.publish(d.next, d.events)
			} else if c.wasStored(d) {
				err = nil
			}
		}
		c.reply(d, err)
		return true
	}
}

// request returns the i-th request that has no reply yet, taking it from the queue
// if there are no more; nil where the queue is empty. Requests that were withdrawn
// are dropped.
func (c *committer) request(i int) *request {
	for i >= len(c.requests) {
		r := c.shareData.queue.pop()
		if r == nil {
			return nil
		}
		if r.stage.CompareAndSwap(stageQueued, stageTaken) {
			c.requests = append(c.requests, r)
		}
	}
	return c.requests[i]
}

// prepare loads or refreshes the position, or finds the function of the request
// again, if the request that begins a batch needs that. For all others, the append
// finds out whether the store holds more.
func (c *committer) prepare(r *request) error {
	s := c.shareData
	var read func() error
	switch at := s.current.Load(); {
	case at != nil && (c.needsRefresh || c.wantsRefresh(r)):
		read = s.refresh
	case at == nil || !at.exists: // it may exist by now
		read = s.load
	}
	if read != nil {
		newest := s.queue.newest()
		if err := read(); err != nil {
			return err
		}
		c.refreshedUpTo = newest
	}
	if c.wantsRebind(r, s.current.Load()) {
		return c.rebind(r)
	}
	return nil
}

// wantsPreparation reports whether the request has to begin a batch, because prepare
// has something to do for it.
func (c *committer) wantsPreparation(r *request, at *position) bool {
	// A request that was queued after the position was read must not be answered
	// that there is no history: it may have been created since.
	return c.wantsRefresh(r) || c.wantsRebind(r, at) || !at.exists && r.sequence > c.refreshedUpTo
}

// wantsRefresh reports whether the request asks for a newer position than the one
// of the last refresh.
func (c *committer) wantsRefresh(r *request) bool {
	return r.sequence > c.refreshedUpTo && (r.change.strict || r.change.fresh && !c.shareData.isFollowed())
}

// decide decides the requests in their order, each on the state that the one before
// it left. It stops when the batch is full or has taken Options.MaxBatchTime; before
// a function that was slow the last time, so that nobody waits for more than one slow
// function; and before a request that needs prepare.
func (c *committer) decide(w *worker) (d *decision, owner bool) {
	s := c.shareData
	at := s.current.Load()
	d = c.newDecision(*at)
	began := d.now
	s.calling.Store(callingFunctions)
	for i := 0; !c.isComplete(d, began); i++ {
		r := c.request(i)
		if r == nil || i > 0 && c.wantsPreparation(r, &d.next) {
			break
		}
		d.now = time.Now() // no entry is older than its proposal
		if err := c.refusal(r); err != nil {
			d.refuse(err)
			continue
		}
		if d.decideAlone(&r.change) {
			continue
		}
		if !r.result.isUsableAt(&d.next, &r.change) {
			if i > 0 && r.change.function.calls.slow.Load() {
				break
			}
			if !s.evaluate(w, r, &d.next) {
				return nil, false
			}
		}
		d.decide(&r.change, &r.result)
		if r.result.final {
			break // the call was abandoned: the others have waited long enough
		}
	}
	s.calling.Store(callingNothing)
	return d, true
}

// isComplete reports whether the batch must be committed before more is decided.
func (c *committer) isComplete(d *decision, began time.Time) bool {
	m, n := c.shareData.manager, len(d.outcomes)
	return d.isFull() || c.limit > 0 && n >= c.limit || m.options.MaxBatch > 0 && n >= m.options.MaxBatch || n > 0 && m.isSlow(time.Since(began))
}

// isSlow reports whether evaluation has taken longer than Options.MaxBatchTime.
func (m *Manager) isSlow(took time.Duration) bool {
	return m.options.MaxBatchTime > 0 && took > m.options.MaxBatchTime
}

func (c *committer) newDecision(at position) *decision {
	if c.knownAt != at.cursor {
		// What was learned at another position is looked up again.
		c.knownAt, c.known.found, c.known.missing = at.cursor, nil, nil
	}
	return &decision{
		id: c.shareData.id, now: time.Now(), epoch: replay.NewEpoch(max(c.newestEpoch, at.cursor.Epoch)),
		known: &c.known, next: at,
	}
}

// refusal is why a request must not be committed; nil if it may be.
func (c *committer) refusal(r *request) error {
	if r.refused != nil {
		return r.refused
	}
	err := r.ctx.Err()
	if c.shareData.manager.closed.Load() {
		err = ErrClosed
	}
	if err != nil && !r.result.final {
		return fmt.Errorf("not committed: %w", err)
	}
	return nil
}

// append appends the decision at the current position. After any error but a conflict
// the store may have it, which a refresh finds out before the next decision.
func (c *committer) append(d *decision, reserve time.Duration) error {
	s := c.shareData
	return s.appendAt(*s.current.Load(), d, reserve)
}

// appendAt appends the decision at a position.
func (s *shareData) appendAt(at position, d *decision, reserve time.Duration) error {
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	batch := d.batch(at)
	batch.Reserve = reserve
	err := s.manager.options.Store.Append(ctx, s.id, batch)
	if err == nil || errors.Is(err, replay.ErrConflict) {
		return err
	}
	s.committer.needsRefresh = true
	failed := s.manager.storeError(s.id, "append", err)
	failed.OutcomeUnknown = !errors.Is(err, replay.ErrInvalidBatch)
	return failed
}

// learn takes what the conflict of a decision says into account for the next attempt.
func (c *committer) learn(d *decision, err error, conflicts *contention) error {
	s := c.shareData
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		conflict = &replay.ConflictError{Reason: replay.ConflictMoved}
	}
	if conflict.Reason == replay.ConflictKnownKeys {
		c.limit = len(d.outcomes)
		return c.addFound(conflict.Known)
	}
	if conflict.Reason != replay.ConflictReserved {
		c.newestEpoch = max(c.newestEpoch, conflict.Head.Epoch)
		if len(conflict.Missed) == 0 || s.applyEntries(conflict.Missed) != nil {
			if err := s.refresh(); err != nil {
				return err
			}
		}
	}
	return conflicts.wait(conflict.ReservedFor, s.manager.options.StoreTimeout)
}

// wasStored finds out what became of an append that failed. It returns true if the
// store has the entries all the same; the refresh has notified the observers then. A
// removal stays unknown: the store does not say whose it was.
func (c *committer) wasStored(d *decision) bool {
	s := c.shareData
	c.registerCreated(d) // before the refresh, which may make the ShareData visible
	if s.refresh() != nil {
		return false // the next decision begins with another refresh
	}
	last := d.last()
	at := s.current.Load()
	if at.cursor.Epoch != last.Cursor.Epoch || at.cursor.Revision <= last.Cursor.Revision {
		return at.hash == last.Hash
	}
	before := replay.Cursor{Epoch: last.Cursor.Epoch, Revision: last.Cursor.Revision - 1}
	page, err := s.readEntries(before, 1)
	if err != nil || len(page) == 0 {
		return false
	}
	e, err := entryFrom(s.id, page[0])
	return err == nil && e.Hash == last.Hash
}

// register registers the functions of what was created, before it is visible, and
// forgets those of what was removed.
func (c *committer) register(d *decision) {
	c.registerCreated(d)
	if d.removed {
		c.shareData.manager.setFunctions(c.shareData.id, registration{})
		c.newestEpoch = max(c.newestEpoch, d.last().Cursor.Epoch)
	}
}

// registerCreated registers the functions of a ShareData that the decision creates.
// They are for the epoch of that only, so they have no effect if it is not stored.
func (c *committer) registerCreated(d *decision) {
	for i := range d.outcomes {
		if r, o := c.requests[i], &d.outcomes[i]; r.change.kind == changeCreate && o.err == nil {
			c.shareData.manager.setFunctions(c.shareData.id, registration{functions: r.functions, origin: o.at.origin})
		}
	}
}
