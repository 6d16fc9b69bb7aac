package realtime

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// proposalShare is how many of the largest messages the proposals in flight of
// one connection may hold, whatever their number.
const proposalShare = 4

func weight(m *wire.Propose) int { return len(m.ProposedData) + len(m.Proof) }

// admit puts a proposal into its request queue, or refuses it at once when too
// many are in flight. One that comes while the server shuts down gets no result:
// its client proposes again on its next connection.
func (s *session) admit(m *wire.Propose) {
	options := &s.server.options
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(text string) {
		f := failure{code: codes.RateLimited, text: text, retryAfter: retryAfterRateLimited}
		s.out.send(f.frame(m.CorrelationID))
	}
	switch {
	case s.draining:
		return
	case s.inFlight >= options.MaxProposalsInFlight:
		refuse(fmt.Sprintf("limit: %d proposals of this connection are in flight; wait for their results", s.inFlight))
		return
	case s.inFlight > 0 && s.inFlightBytes+weight(m) > proposalShare*options.MaxMessageBytes:
		refuse(fmt.Sprintf("limit: the proposals of this connection that are in flight have %d bytes; wait for their results", s.inFlightBytes))
		return
	}
	if !s.server.proposals.add() {
		return
	}
	if !s.enqueueLocked(m.ShareDataID, m) {
		s.server.proposals.done()
		return
	}
	s.inFlight++
	s.unsent++
	s.inFlightBytes += weight(m)
}

// propose has a proposal evaluated. It does not wait for the verdict, so
// proposals that follow each other closely are committed together.
func (s *session) propose(m *wire.Propose) {
	s.closeIfExpired()
	if s.isUnauthorized() {
		s.discard(m)
		return
	}
	if isReserved(m.ShareDataID) {
		s.refuseReserved(m)
		return
	}
	c := s.currentCaller.Load()
	err := s.mayPropose(c, m)
	// All that follows is checked after the hook, which may have taken any time.
	unconfirmed := s.server.lease.ensureValid(s.server.ctx)
	s.closeIfExpired()
	switch {
	case s.isUnauthorized():
		s.discard(m)
		return
	case unconfirmed != nil:
		s.reply(m, s.fail(m, unconfirmed))
		return
	case err != nil:
		s.complete(m, refusal(err, codes.Unauthorized, fmt.Sprintf("not allowed to run %.60q on %.60q", m.FunctionID, m.ShareDataID)).frame(m.CorrelationID))
		return
	}
	s.server.manager.Submit(c.proposalCtx, s.proposalOf(c, m), func(verdict sharedata.Verdict, err error) {
		switch {
		case err != nil && s.isUnauthorized():
			s.discard(m)
			return
		case err != nil:
			s.complete(m, s.fail(m, err))
			return
		}
		s.complete(m, verdictFrame(m.CorrelationID, verdict))
	})
}

// proposalOf is what the manager is given.
func (s *session) proposalOf(c *sessionCaller, m *wire.Propose) sharedata.Proposal {
	return sharedata.Proposal{
		ShareDataID:    m.ShareDataID,
		FunctionID:     m.FunctionID,
		Resolver:       s.server.options.Resolver,
		Connection:     cmp.Or(s.proposer, s.name),
		Data:           m.ProposedData,
		Caller:         c.caller,
		IdempotencyKey: m.IdempotencyKey,
		Proof:          m.Proof,
	}
}

// complete sends the result of a proposal. The manager may call it inside the
// section that orders the ShareData's commits, so it does not block.
func (s *session) complete(m *wire.Propose, result *frame) {
	defer s.server.recoverIn(s)
	// First, so that a proposer who waits for the result before the next proposal
	// is never over the limit.
	s.releaseSlot(m)
	s.sendResult(m.ShareDataID, result)
	s.finishProposal()
}

// reply sends the result of a proposal that the manager was not given: there is no
// effect that it would have to wait for.
func (s *session) reply(m *wire.Propose, result *frame) {
	s.releaseSlot(m)
	s.out.send(result)
	s.finishProposal()
}

// discard drops a proposal of a caller that is not served any more. It gets no
// result.
func (s *session) discard(m *wire.Propose) {
	s.releaseSlot(m)
	s.finishProposal()
}

// sendResult sends the result of a proposal, after its effect.
func (s *session) sendResult(id string, result *frame) {
	var ended *subscription
	for sub := s.subscriptionTo(id); sub != ended; sub = s.subscriptionTo(id) {
		if sub.sendResult(result) {
			return
		}
		ended = sub // there may be another one by now
	}
	if !s.server.hub.holdResult(s, id, result) {
		s.out.send(result)
	}
}

// releaseSlot makes room for another proposal.
func (s *session) releaseSlot(m *wire.Propose) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.inFlightBytes -= weight(m)
}

func (s *session) finishProposal() {
	s.mu.Lock()
	s.unsent--
	last := s.unsent == 0
	drained, released := last && s.draining, last && s.ended
	s.mu.Unlock()
	if drained {
		s.closeGoingAway()
	}
	if released {
		s.release()
	}
	s.server.proposals.done()
}

// fail returns the result of a proposal that has no verdict, and reports what
// the proposer is not told.
func (s *session) fail(m *wire.Propose, err error) *frame {
	f := failureOf(m, err, s.server.ctx.Err() != nil)
	if errors.Is(err, sharedata.ErrStore) {
		if callback := s.server.options.Observer.OnStoreFailure; callback != nil {
			s.server.spawn(nil, func() { notify(s.server, callback, StoreFailureEvent{ShareDataID: m.ShareDataID, Err: err}) })
		}
	}
	if f.code == codes.InternalError {
		s.server.log.Warn("proposal could not be evaluated", "connection", s.name, "shareData", m.ShareDataID, "function", m.FunctionID, "error", err)
	}
	return f.frame(m.CorrelationID)
}

// mayPropose asks the application; nil means yes.
func (s *session) mayPropose(c *sessionCaller, m *wire.Propose) error {
	ask := s.server.options.AuthorizePropose
	if ask == nil {
		return nil
	}
	return s.authorize("AuthorizePropose", func() error {
		return ask(c.proposalCtx, c.caller, m.ShareDataID, m.FunctionID)
	})
}
