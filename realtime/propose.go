package realtime

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/schemas/codes"
	"github.com/safe-go/safe/sharedata"
)

// proposalShare is how many of the largest messages the proposals in flight of
// one connection may hold, whatever their number.
const proposalShare = 4

func weight(m *wire.Propose) int { return len(m.ProposedData) + len(m.Proof) }

// admit puts a proposal into its request queue, or refuses it at once when too many are
// in flight. One that comes while the server shuts down is left unanswered: its
// sender makes it again where it connects next.
func (s *session) admit(m *wire.Propose) {
	options := &s.server.options
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return
	case s.proposals >= options.MaxProposalsInFlight:
		s.out.send(rejected(m.CorrelationID, fmt.Sprintf("limit: %d proposals of this connection are in flight; wait for their results", s.proposals)))
		return
	case s.proposals > 0 && s.proposalBytes+weight(m) > proposalShare*options.MaxMessageBytes:
		s.out.send(rejected(m.CorrelationID, fmt.Sprintf("limit: the proposals of this connection that are in flight have %d bytes; wait for their results", s.proposalBytes)))
		return
	}
	if !s.server.proposals.add() {
		return
	}
	if !s.enqueueLocked(m.ShareDataID, m) {
		s.server.proposals.done()
		return
	}
	s.proposals++
	s.unanswered++
	s.proposalBytes += weight(m)
}

// propose has a proposal judged. It does not wait for the verdict, so proposals
// that follow each other closely are committed together.
func (s *session) propose(m *wire.Propose) {
	answer := func(f frame) {
		// It may be the manager's goroutine that calls.
		defer s.server.recoverIn(s)
		// First, so that whoever waits for the answer before he sends the next
		// proposal is never over the limit.
		s.makeRoom(m)
		s.answer(m.ShareDataID, f)
		s.proposalDone()
	}
	if !s.mayPropose(m) {
		answer(rejected(m.CorrelationID, fmt.Sprintf("unauthorized-propose: not allowed to run %q on %q", m.FunctionID, m.ShareDataID)))
		return
	}
	s.server.manager.Submit(s.work, sharedata.Proposal{
		ShareDataID:    m.ShareDataID,
		FunctionID:     m.FunctionID,
		Resolver:       s.server.options.Resolver,
		Data:           m.ProposedData,
		Caller:         s.info.Caller,
		IdempotencyKey: m.IdempotencyKey,
		Proof:          m.Proof,
	}, func(verdict sharedata.Verdict, err error) {
		if err != nil {
			answer(s.failed(m, err))
			return
		}
		result := &wire.ProposalResult{
			CorrelationID: m.CorrelationID,
			Accepted:      verdict.Accepted,
			TransactionID: verdict.Cursor.String(),
			Duplicate:     verdict.Duplicate,
		}
		if !verdict.Accepted {
			result.Error = verdict.Reason
		}
		answer(encode(result))
	})
}

// answer sends the answer to a proposal, behind what its effect has become.
func (s *session) answer(id string, f frame) {
	var ended *subscription
	for sub := s.subscriptionTo(id); sub != ended; sub = s.subscriptionTo(id) {
		if sub.answer(f) {
			return
		}
		ended = sub // there may be another one by now
	}
	s.out.send(f)
}

// makeRoom lets another proposal in.
func (s *session) makeRoom(m *wire.Propose) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proposals--
	s.proposalBytes -= weight(m)
}

func (s *session) proposalDone() {
	s.mu.Lock()
	s.unanswered--
	leave := s.draining && s.unanswered == 0
	s.mu.Unlock()
	if leave {
		s.goAway()
	}
	s.server.proposals.done()
}

func rejected(correlationID, why string) frame {
	return encode(&wire.ProposalResult{CorrelationID: correlationID, Error: why})
}

// failed is the answer to a proposal that came to no verdict.
func (s *session) failed(m *wire.Propose, err error) frame {
	if errors.Is(err, sharedata.ErrStore) {
		observer := s.server.options.Observer.OnStoreFailure
		if observer != nil {
			s.server.spawn(nil, func() { notify(s.server, observer, StoreFailureEvent{ShareDataID: m.ShareDataID, Err: err}) })
		}
	}
	if s.work.Err() != nil {
		return rejected(m.CorrelationID, "the server is shutting down; propose again on a new connection")
	}
	return rejected(m.CorrelationID, explainFailure(m, err))
}

// explainFailure says what the proposer can do about a failure. What went wrong
// inside a function or the store is nothing that a client is told.
func explainFailure(m *wire.Propose, err error) string {
	var invalid *sharedata.InputError
	var store *sharedata.StoreError
	switch {
	case errors.Is(err, sharedata.ErrProposingDisabled):
		return "propose is not enabled on this server"
	case errors.Is(err, sharedata.ErrUnknownShareData), errors.Is(err, sharedata.ErrInvalidID):
		return fmt.Sprintf("there is no ShareData %q", m.ShareDataID)
	case errors.Is(err, sharedata.ErrUnknownFunction):
		return fmt.Sprintf("ShareData %q has no function %q", m.ShareDataID, m.FunctionID)
	case errors.As(err, &invalid):
		return shorten(invalid.Error())
	case errors.Is(err, sharedata.ErrInvalidInput):
		return "the proposed data is not what the function takes"
	case errors.Is(err, sharedata.ErrInvalidKey):
		return fmt.Sprintf("the idempotencyKey is not valid; use at most %d bytes", sharedata.MaxKeyBytes)
	case errors.Is(err, sharedata.ErrBusy):
		return "too many proposals wait for this ShareData; propose again later"
	case errors.Is(err, replay.ErrUnavailable) && errors.As(err, &store) && store.Operation != "append":
		return "the store is unreachable; nothing was changed; propose again later"
	case errors.As(err, &store) && store.Operation == "append":
		return "the store failed or is unreachable, and it is not known whether the proposal took effect; propose again with the same idempotencyKey"
	case errors.Is(err, sharedata.ErrStore):
		return "the store failed; nothing was changed; propose again later"
	case errors.Is(err, sharedata.ErrFunctionFailed) && errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("function %q took too long; nothing was changed", m.FunctionID)
	case errors.Is(err, sharedata.ErrFunctionFailed):
		return fmt.Sprintf("function %q failed; nothing was changed", m.FunctionID)
	}
	return "the proposal could not be judged; nothing was changed"
}

// mayPropose asks the application.
func (s *session) mayPropose(m *wire.Propose) bool {
	ask := s.server.options.AuthorizePropose
	return ask == nil || s.allowed("AuthorizePropose", func() error {
		return ask(s.work, s.info.Caller, m.ShareDataID, m.FunctionID)
	})
}

// allowed asks a hook. One that panics denies.
func (s *session) allowed(hook string, ask func() error) (allowed bool) {
	logger := s.server.log
	defer func() {
		if value := recover(); value != nil {
			logger.Error(hook+" panicked", "connection", s.info.ID, "panic", value, "stack", string(debug.Stack()))
			allowed = false
		}
	}()
	err := ask()
	if errors.Is(err, ErrExpired) {
		s.close(codes.CloseUnauthorized, "the credentials are no longer good; renew them and reconnect")
	}
	if err != nil {
		logger.Debug(hook+" refused", "connection", s.info.ID, "error", err)
	}
	return err == nil
}
