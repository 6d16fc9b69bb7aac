package sharedata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"unicode/utf8"

	"github.com/safe-go/safe/replay"
)

// MaxKeyBytes is the longest idempotency key.
const MaxKeyBytes = 1024

// Proposal asks for one run of one function on one ShareData.
type Proposal struct {
	// ShareDataID is the ShareData's.
	ShareDataID string
	// FunctionID is what the Resolver resolves.
	FunctionID string
	// Resolver decides what FunctionID means, in place of the manager's.
	// Default: the manager's.
	Resolver Resolver
	// Function is run instead of what FunctionID means, if it is not nil. It
	// need not be registered. Internal functions run only so.
	Function *Function
	// Connection names the connection that the proposal came over; empty for
	// none. The proposers of a ShareData take turns: the proposals of one
	// connection, or of one subject where there is no connection, are evaluated
	// in the order in which they were submitted, and those of different ones in
	// rotation. It is also in the log where the function fails.
	Connection string
	// Data is the proposed data: a json.RawMessage is taken as it is, anything
	// else is marshalled by encoding/json.
	Data any
	// Caller is who proposes. Default: the context's, see WithCaller.
	Caller *Caller
	// IdempotencyKey makes repeats of the proposal harmless: at most one of all
	// proposals of one Issuer and Subject with one key takes effect on a ShareData, and
	// the others get its verdict. It is remembered as long as the store keeps
	// the transaction, which the store's retention bounds, and forgotten when
	// the ShareData is removed. Choose it at random, or from what the proposal
	// is about. Default: none. At most MaxKeyBytes of UTF-8.
	IdempotencyKey string
	// Proof authorizes exactly this change, as Options.ProofVerifier verifies; it is
	// one JSON object of at most MaxProofBytes, and nil for none. It is verified also
	// where none is required. It is ignored where there is no verifier.
	Proof json.RawMessage
}

// Verdict is what a function decided on a proposal.
type Verdict struct {
	// Accepted says whether the state is now what the function returned.
	Accepted bool
	// Code, Reason and Details are those of the Rejection, if it was rejected.
	Code    string
	Reason  string
	Details json.RawMessage
	// Cursor is the transaction's position: its transactionId.
	Cursor replay.Cursor
	// Duplicate says that the proposal repeats an earlier one by its
	// idempotency key, and the verdict and the Cursor are the first one's.
	Duplicate bool
}

// Propose has a proposal evaluated and waits for the verdict. A rejection is a
// verdict, not an error.
//
// After an error in which errors.Is finds ErrOutcomeUnknown, the proposal may have
// taken effect or not; propose again with the same IdempotencyKey to find out. After
// any other error it is known that nothing happened. A context that ends before the
// proposal's turn withdraws it; one that ends later leaves the outcome unknown.
func (m *Manager) Propose(ctx context.Context, proposal Proposal) (Verdict, error) {
	r, err := m.prepare(ctx, proposal)
	if err != nil {
		return Verdict{}, err
	}
	o, err := m.do(ctx, proposal.ShareDataID, r)
	return o.verdict, err
}

// Submit is Propose without the wait: done is called exactly once with what
// Propose would have returned, after the observers have seen the transaction.
// It may be called before Submit returns, and must neither block nor panic.
// Proposals that one goroutine submits to one ShareData for one Connection are
// evaluated in that order, and those that wait together are committed together.
//
// Submit blocks while the ShareData is loaded from the store and while the
// Resolver works. A proposal whose context ends before its turn is not evaluated.
// After its turn has begun, the context only reaches the function, and the proposal
// is committed all the same.
func (m *Manager) Submit(ctx context.Context, proposal Proposal, done func(Verdict, error)) {
	r, err := m.prepare(ctx, proposal)
	if err == nil {
		r.done, r.submitted = func(o outcome) { done(o.verdict, o.err) }, true
		err = m.enqueue(proposal.ShareDataID, r)
	}
	if err != nil {
		done(Verdict{}, err)
	}
}

// prepare does all that can be done before the proposal's turn: it refuses what
// cannot reach a function, and finds the function.
func (m *Manager) prepare(ctx context.Context, p Proposal) (*request, error) {
	data, err := toJSON(p.Data)
	if err != nil {
		return nil, invalidInput(p.FunctionID, "", err.Error())
	}
	if p.Caller == nil {
		p.Caller = CallerFrom(ctx)
	} else {
		ctx = WithCaller(ctx, p.Caller)
	}
	if err := p.Caller.check(); err != nil {
		return nil, err
	}
	if len(p.IdempotencyKey) > MaxKeyBytes || !utf8.ValidString(p.IdempotencyKey) {
		return nil, fmt.Errorf("%w: it has %d bytes; use at most %d of UTF-8", ErrInvalidKey, len(p.IdempotencyKey), MaxKeyBytes)
	}
	if p.Proof, err = m.validatedProof(p); err != nil {
		return nil, err
	}
	r := &request{ctx: ctx, proposer: proposerOf(p), change: change{
		kind: changePropose, key: storeKey(p.Caller, p.IdempotencyKey),
		data: data, caller: p.Caller, idempotencyKey: p.IdempotencyKey, proof: p.Proof,
		// A proof for the position of another process must not be called stale because
		// this one has not read that position: a refusal appends nothing, so that no
		// conflict would show it.
		fresh: p.Proof != nil && m.follower != nil,
	}}
	r.change.binding, err = m.bind(ctx, p, data, m.position)
	if m.follower == nil {
		return r, err
	}
	r.rebind = func() (binding, error) {
		// The goroutine of the ShareData waits for this, so it cannot be asked.
		cached := func(_ context.Context, id string) (position, error) { return m.cachedPosition(id) }
		return m.bind(ctx, p, data, cached)
	}
	if errors.Is(err, ErrUnknownFunction) || errors.Is(err, ErrInvalidInput) || errors.Is(err, ErrProofRequired) {
		// Another process may have created the ShareData again, with other functions.
		r.change.binding, err = m.bind(ctx, p, data, m.freshPosition)
	}
	return r, err
}

func proposerOf(p Proposal) proposer {
	if p.Connection != "" {
		return proposer{connection: p.Connection}
	}
	return proposer{caller: p.Caller.identity()}
}

// bind finds the function that a proposal is for, where the ShareData is as
// positionOf says.
func (m *Manager) bind(ctx context.Context, p Proposal, data json.RawMessage, positionOf func(context.Context, string) (position, error)) (binding, error) {
	at, err := positionOf(ctx, p.ShareDataID)
	if err != nil {
		return binding{}, err
	}
	if !at.exists {
		return binding{}, unknown(p.ShareDataID)
	}
	function := p.Function
	if function == nil {
		if function, err = m.resolve(ctx, p, at); err != nil {
			return binding{}, err
		}
	}
	if err := function.check(); err != nil {
		return binding{}, err
	}
	if err := m.checkVerifiable(function); err != nil {
		return binding{}, err
	}
	if p.Proof == nil && m.requiresProof(p.ShareDataID, function, p.Function == nil) {
		return binding{}, fmt.Errorf("%w for %.60q of %.60q", ErrProofRequired, function.id, p.ShareDataID)
	}
	if err := function.checkInput(data); err != nil {
		return binding{}, err
	}
	return binding{origin: at.origin, function: function}, nil
}

// resolve asks the Resolver, which is the application's: a panic in it fails
// the proposal, no more.
func (m *Manager) resolve(ctx context.Context, p Proposal, at position) (function *Function, err error) {
	defer func() {
		if value := recover(); value != nil {
			m.options.Logger.Error("resolver panicked", "shareData", p.ShareDataID, "function", p.FunctionID, "panic", value, "stack", string(debug.Stack()))
			function, err = nil, fmt.Errorf("%w: %.60q: the resolver panicked", ErrUnknownFunction, p.FunctionID)
		}
	}()
	resolver := p.Resolver
	if resolver == nil {
		resolver = m.options.Resolver
	}
	function, err = resolver(ctx, p.ShareDataID, p.FunctionID, m.functionsOf(p.ShareDataID, at))
	if err == nil && function == nil {
		err = fmt.Errorf("%w: %.60q has no function %.60q", ErrUnknownFunction, p.ShareDataID, p.FunctionID)
	}
	return function, err
}

// storeKey is the key by which the store remembers a proposal. The subject, and its
// issuer where there is one, are in it so that nobody is given the verdict on
// somebody else's proposal.
func storeKey(caller *Caller, key string) string {
	if key == "" {
		return ""
	}
	of := caller.identity()
	var issuer string
	if of.issuer != "" {
		issuer = "@" + strconv.Itoa(len(of.issuer)) + ":" + of.issuer
	}
	return issuer + strconv.Itoa(len(of.subject)) + ":" + of.subject + key
}
