package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/safe-go/safe/sharedata"
)

// RevocationsID is the id of the ShareData that records revocations, with the
// callers who made them (see Manager.History). It is created by the first one.
const RevocationsID = ReservedPrefix + "revocations"

// Revocation says whose connections end. At least one of the fields is not empty;
// a revocation matches the callers that agree in all of these.
type Revocation struct {
	// Subject and Issuer are those of Callers. With them alone, a revocation
	// matches the connections that are open, and callers whose IssuedAt is not
	// after it, so that a token that is issued later is accepted. IssuedAt of a JWT
	// has whole seconds, so a token that is issued within the same second is
	// refused; so is a caller without an IssuedAt, until the revocation is
	// forgotten. IssuedAt is a reading of the issuer's clock: where that is ahead,
	// revoke again after as long.
	Subject, Issuer string
	// TokenID is the Caller's: a revocation with it matches that token alone.
	TokenID string
}

// MaxRevocationBytes is the longest field of a Revocation.
const MaxRevocationBytes = 1024

// ErrTooManyRevocations: as many revocations as may be are remembered. Connections were
// not ended. Shorten Options.RevocationRetention, or revoke subjects instead of tokens.
var ErrTooManyRevocations = errors.New("too many revocations are remembered")

// ErrInvalidRevocation: a Revocation is empty, or a field is too long or not UTF-8.
var ErrInvalidRevocation = errors.New("invalid revocation")

func (r Revocation) check() error {
	if r == (Revocation{}) {
		return fmt.Errorf("%w: it is empty; set Subject, Issuer or TokenID", ErrInvalidRevocation)
	}
	for _, field := range []string{r.Subject, r.Issuer, r.TokenID} {
		if len(field) > MaxRevocationBytes || !utf8.ValidString(field) {
			return fmt.Errorf("%w: a field has %d bytes; use at most %d of UTF-8", ErrInvalidRevocation, len(field), MaxRevocationBytes)
		}
	}
	return nil
}

// Revoke ends the connections of the callers that r matches with 4002, on this
// server and on every other server on the same store, and refuses the tokens that they
// have: requests with them are answered with 401 until Options.RevocationRetention
// has passed. Other handlers refuse them by Server.Authenticate. What is queued for
// these callers is dropped; what they have requested and is not being evaluated yet is
// not evaluated any more, and the context of a function that runs for them ends.
//
// When Revoke has returned nil, no connection of these callers is sent anything
// that was committed later, whatever server it is connected to. Where several
// processes share the store (Manager.SharedStore) it therefore takes about a second,
// although the connections end as soon as the servers are notified.
//
// The revocation is an entry in the history of RevocationsID, with the caller of
// the context (sharedata.WithCaller). At most 10,000 are remembered at a time, so
// revoke subjects instead of a token for each logout; a further one fails with
// ErrTooManyRevocations. After any other error it may or may not have been recorded;
// revoke again. Errors are those of Manager.Propose, ErrInvalidRevocation, and the
// context's.
func (s *Server) Revoke(ctx context.Context, r Revocation) error {
	if err := r.check(); err != nil {
		return err
	}
	record := revocation{revocationKey(r), time.Now().UTC()}
	if err := s.appendToRevocations(ctx, s.revoke, record); err != nil {
		return fmt.Errorf("realtime: revoke: %w", err)
	}
	return s.waitForLeaseExpiry(ctx)
}

// appendToRevocations proposes an entry in the history of RevocationsID, of which
// the store notifies every server. This one has applied it when the call returns.
func (s *Server) appendToRevocations(ctx context.Context, function *sharedata.Function, data any) error {
	proposal := sharedata.Proposal{ShareDataID: RevocationsID, Function: function, FunctionID: function.ID(), Data: data}
	verdict, err := s.manager.Propose(ctx, proposal)
	if errors.Is(err, sharedata.ErrUnknownShareData) {
		if _, err := s.manager.Ensure(ctx, RevocationsID, revocationState{Revocations: []revocation{}}); err != nil {
			return err
		}
		verdict, err = s.manager.Propose(ctx, proposal)
	}
	switch {
	case err != nil:
		return err
	case !verdict.Accepted:
		return fmt.Errorf("%w: %s", ErrTooManyRevocations, verdict.Reason) // the functions reject nothing else
	}
	return nil
}

// observeRevocations is notified of every commit, also to a RevocationsID that
// another server has just created, and applies those to it. It is called inside
// the hand-over section of RevocationsID and does not block.
func (s *Server) observeRevocations(events []sharedata.Event) {
	if events[0].ShareDataID != RevocationsID {
		return
	}
	for _, event := range events {
		s.lease.moveTo(event.Cursor)
		switch {
		case event.Type == sharedata.EntryRemoved:
			s.lease.following.Store(false) // revocations already applied stay in force
		case event.Type != sharedata.EntryTransaction:
			s.applyRevocationState(event.State)
			if event.Reset { // there may have been requests to reauthorize
				s.reauthorize(nil)
			}
		case !event.Accepted:
		case event.FunctionID == s.revoke.ID():
			s.applyRevocation(event.Data)
		case event.FunctionID == s.reauthorization.ID():
			s.applyReauthorization(event.Data)
		}
	}
}

// applyRevocation applies one revocation to what is known and to the open
// connections. One that is being opened is checked when it is registered.
func (s *Server) applyRevocation(data json.RawMessage) {
	var r revocation
	if err := json.Unmarshal(data, &r); err != nil {
		s.log.Error("a revocation cannot be read", "error", err)
		return
	}
	s.revocations.add(r, s.options.RevocationRetention)
	for _, session := range s.openSessions() {
		if r.matches(session.caller(), session.info.OpenedAt) {
			session.closeUnauthorized(reasonRevoked)
		}
	}
}

// applyRevocationState applies a whole state.
func (s *Server) applyRevocationState(state json.RawMessage) {
	var known revocationState
	if err := json.Unmarshal(state, &known); err != nil {
		s.log.Error("the revocations cannot be read", "error", err)
		return
	}
	for _, r := range known.Revocations {
		s.revocations.add(r, 0)
	}
	for _, session := range s.openSessions() {
		if s.revocations.isRevoked(session.caller(), session.info.OpenedAt) {
			session.closeUnauthorized(reasonRevoked)
		}
	}
}

// applyReauthorization rechecks the subscriptions for a Reauthorize of another
// server.
func (s *Server) applyReauthorization(data json.RawMessage) {
	var r reauthorization
	if err := json.Unmarshal(data, &r); err != nil {
		s.log.Error("a request to reauthorize cannot be read", "error", err)
		return
	}
	if r.Server != s.id {
		s.reauthorize(r.Subjects)
	}
}

// refreshRevocations applies what the store holds at the time of the call, and
// starts to follow it.
func (s *Server) refreshRevocations(ctx context.Context) error {
	at, err := s.manager.Refresh(ctx, RevocationsID)
	switch {
	case errors.Is(err, sharedata.ErrUnknownShareData):
		return nil // nothing was ever revoked
	case err != nil:
		return err
	}
	s.applySnapshot(at)
	if !s.manager.SharedStore() || s.lease.following.Load() {
		return nil
	}
	// The observation makes the store notify this process; observeRevocations has
	// all events.
	s.lease.following.Store(true)
	at, stop, err := s.manager.Observe(ctx, RevocationsID, sharedata.ObserverFunc(func([]sharedata.Event) {}))
	if err != nil {
		s.lease.following.Store(false)
		return err
	}
	s.lease.stop = stop
	s.applySnapshot(at)
	return nil
}

// applySnapshot applies a state that observeRevocations was not notified of, as
// when the ShareData was loaded from the store. There may have been requests to
// reauthorize before it.
func (s *Server) applySnapshot(at sharedata.Snapshot) {
	if s.lease.moveTo(at.Cursor) {
		s.applyRevocationState(at.State)
		s.reauthorize(nil)
	}
}

// reauthorization asks the servers on one store to ask AuthorizeSubscribe again.
type reauthorization struct {
	Subjects []string `json:"subjects,omitempty"` // nil for all
	Server   string   `json:"server"`             // which has rechecked by itself
}

// reauthorizeFunction returns the function that records a reauthorization. It
// changes nothing.
func reauthorizeFunction() *sharedata.Function {
	return sharedata.NewFunction("reauthorize", func(_ context.Context, state revocationState, _ reauthorization) (revocationState, error) {
		return state, nil
	})
}
