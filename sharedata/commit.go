package sharedata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/safe-go/safe/replay"
)

// committer commits the changes of one ShareData. It belongs to the goroutine that
// runs for the ShareData, and is handed to another one with all that it has if a
// function overruns its deadline.
type committer struct {
	shareData *shareData

	// requests were taken from the queue and have no reply yet. They are the next
	// to be decided, in this order.
	requests   []*request
	contention contention
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

// commit is the way of a proposal:
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
	c.contention, c.limit = contention{}, 0
	c.known.found, c.known.missing = nil, nil // or they would grow without bound
	for {
		first := c.request(0)
		if first == nil {
			return true
		}
		c.contention.began = time.Now()
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
				c.fail(len(d.outcomes), err)
				return true
			}
			continue
		}
		var err error
		if len(d.events) > 0 {
			if err = c.append(d); errors.Is(err, replay.ErrConflict) {
				if err = c.learn(d, err); err != nil {
					c.fail(len(d.outcomes), err)
					return true
				}
				continue
			}
			if err == nil {
				c.register(d)
				s.publish(d.next, d.events)
			} else if c.wasStored(d) {
				err = nil
				c.register(d)
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

// prepare makes the current position good enough for a decision that begins with
// the request. An append finds out by itself whether the store holds more.
func (c *committer) prepare(r *request) error {
	s := c.shareData
	at := s.current.Load()
	var err error
	switch {
	case at != nil && (c.needsRefresh || c.wantsRefresh(r)):
		newest := s.queue.newest()
		if err = s.refresh(); err == nil {
			c.refreshedUpTo = newest
		}
	case at == nil || !at.exists: // it may exist by now
		newest := s.queue.newest()
		if err = s.load(); err == nil {
			c.refreshedUpTo = newest
		}
	}
	if err != nil {
		return err
	}
	if c.wantsRebind(r, s.current.Load()) {
		return c.rebind(r)
	}
	return nil
}

// wantsPreparation reports whether the request has to begin a batch, because prepare
// has something to do for it.
func (c *committer) wantsPreparation(r *request, at *position) bool {
	// That there is no history is not believed later than when it was read.
	return c.wantsRefresh(r) || c.wantsRebind(r, at) || !at.exists && r.sequence > c.refreshedUpTo
}

// wantsRefresh reports whether the request asks for a newer position than the one
// of the last refresh.
func (c *committer) wantsRefresh(r *request) bool {
	return r.sequence > c.refreshedUpTo && (r.change.strict || r.change.fresh && !c.shareData.isFollowed())
}

// decide decides the requests in their order, each on the state that the one before
// it left. It decides fewer than all where a batch is full, where it has taken
// Options.MaxBatchTime or the next function is likely to, so that nobody waits for
// more than one slow function, and before a request for which prepare has something
// to do.
func (c *committer) decide(w *worker) (d *decision, owner bool) {
	s := c.shareData
	at := s.current.Load()
	d = c.newDecision(*at)
	s.calling.Store(callingFunctions)
	for i := 0; !c.isFull(d); i++ {
		r := c.request(i)
		if r == nil || i > 0 && c.wantsPreparation(r, &d.next) {
			break
		}
		if err := c.refusal(r); err != nil {
			d.refuse(err)
			continue
		}
		if d.decideAlone(&r.change) {
			continue
		}
		if !r.result.isOf(d.next.state) {
			if i > 0 && r.change.function.calls.slow.Load() {
				break
			}
			if !s.evaluate(w, r, d.next.state) {
				return nil, false
			}
		}
		d.decide(&r.change, &r.result)
		if r.result.final {
			break // the function overran its deadline: nobody is to wait any longer
		}
	}
	s.calling.Store(callingNothing)
	return d, true
}

// isFull reports whether a batch is to be committed as it is.
func (c *committer) isFull(d *decision) bool {
	m, n := c.shareData.manager, len(d.outcomes)
	return d.isFull() || c.limit > 0 && n >= c.limit || m.options.MaxBatch > 0 && n >= m.options.MaxBatch || n > 0 && m.isSlow(time.Since(d.now))
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

// refusal says why a request is not to be evaluated; nil if it is.
func (c *committer) refusal(r *request) error {
	if r.refused != nil {
		return r.refused
	}
	err := r.ctx.Err()
	if c.shareData.manager.closed.Load() {
		err = ErrClosed
	}
	if err != nil && !r.result.final {
		return fmt.Errorf("not evaluated: %w", err)
	}
	return nil
}

// append commits the decision. Any error but a conflict leaves it open whether the
// store has taken it, which is found out before the next decision.
func (c *committer) append(d *decision) error {
	s := c.shareData
	at := s.current.Load()
	d.next.stored = d.next.meta()
	return s.append(*at, d, c.contention.reservation())
}

// append commits the decision at a position.
func (s *shareData) append(at position, d *decision, reserve time.Duration) error {
	ctx, cancel := s.manager.storeContext(context.Background())
	defer cancel()
	err := s.manager.options.Store.Append(ctx, s.id, replay.Batch{
		Expect: at.cursor, ExpectMeta: at.meta(), Entries: d.records, NewKeys: true, Reserve: reserve,
		Meta: d.next.stored, Remove: d.removed,
	})
	if err == nil || errors.Is(err, replay.ErrConflict) {
		return err
	}
	s.committer.needsRefresh = true
	failed := s.manager.storeError(s.id, "append", err)
	failed.OutcomeUnknown = !errors.Is(err, replay.ErrInvalidBatch)
	return failed
}

// learn takes what the conflict of a decision says into account for the next attempt.
func (c *committer) learn(d *decision, err error) error {
	s := c.shareData
	conflict, ok := errors.AsType[*replay.ConflictError](err)
	if !ok {
		conflict = &replay.ConflictError{Reason: replay.ConflictMoved}
	}
	if conflict.Reason == replay.ConflictKnownKeys {
		c.limit = len(d.outcomes)
		return c.addFound(conflict.Known)
	}
	if err := c.contention.wait(conflict.ReservedFor, s.manager.options.StoreTimeout); err != nil {
		return err
	}
	if conflict.Reason == replay.ConflictReserved {
		return nil
	}
	c.newestEpoch = max(c.newestEpoch, conflict.Head.Epoch)
	if len(conflict.Missed) > 0 && s.applyEntries(conflict.Missed) == nil {
		return nil
	}
	return s.refresh()
}

// wasStored finds out what became of an append that failed. It returns true where
// the store has taken it all the same; the observers were notified then.
func (c *committer) wasStored(d *decision) bool {
	s := c.shareData
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

// register makes the functions of a created ShareData callable before it is visible.
func (c *committer) register(d *decision) {
	m, id := c.shareData.manager, c.shareData.id
	for i := range d.outcomes {
		if r, o := c.requests[i], &d.outcomes[i]; r.change.kind == changeCreate && o.err == nil {
			m.setFunctions(id, registration{functions: r.functions, origin: o.at.origin})
		}
	}
	if d.removed {
		m.setFunctions(id, registration{})
		c.newestEpoch = max(c.newestEpoch, d.last().Cursor.Epoch)
	}
}
