package sharedata

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/safe-go/safe/replay"
)

// MaxProofBytes is the longest proof of a proposal.
const MaxProofBytes = 16 << 10

// Errors of proposals whose proof is not accepted, for errors.Is. Such a proposal
// leaves no entry.
var (
	// ErrProofRequired: the function or Options.RequireProof demands a proof, and the
	// proposal has none.
	ErrProofRequired = errors.New("a proof is required")
	// ErrProofInvalid: the proof does not authorize the proposal, whatever the
	// position of the ShareData.
	ErrProofInvalid = errors.New("the proof is invalid")
	// ErrProofStale: the proof is for another position of the ShareData, or for
	// another state, than the current one. Make a new one and propose again, with the
	// same idempotency key if there is one.
	ErrProofStale = errors.New("the proof is stale")
)

// ProofVerifier decides whether the proof of a proposal authorizes it.
type ProofVerifier interface {
	// VerifyProof returns nil to accept the proof. It then stays with the
	// transaction, in Entry.Proof, whether the function accepts or rejects.
	//
	// An error in which errors.Is finds ErrProofInvalid or ErrProofStale refuses the
	// proposal; its text goes to the proposer. Any other error is a failure of the
	// verifier: the proposal fails with a *FunctionError. Neither leaves an entry.
	//
	// VerifyProof is called while the proposal is evaluated, right before its function and
	// within its deadline (the context's), because only then the position is known. A
	// panic, or a call that does not return in time, fails the proposal like one of
	// the function. For one ShareData there is one call at a time, so a slow one
	// delays other proposers; different ShareData are verified concurrently. The same
	// proof may be verified again, at the same or another position, when another
	// process appended first or an earlier verdict was found. So VerifyProof should
	// check what is cheap first, and must not count the proofs that it has seen.
	VerifyProof(ctx context.Context, request ProofRequest) error
}

// ProofRequest is a proof and what it has to authorize. What it refers to must not be
// changed.
type ProofRequest struct {
	// Caller is who proposes; nil if none is known.
	Caller *Caller
	// ShareDataID is the proposal's. FunctionID is that of the function which is to
	// run, and which the entry will name; empty for an internal function.
	ShareDataID string
	FunctionID  string
	// Position is that of the entry which the transaction would follow.
	Position replay.Cursor
	// StateHash is the hash of the state there; see HashState.
	StateHash Hash
	// Data is the proposed data.
	Data json.RawMessage
	// Proof is one JSON object of at most MaxProofBytes and MaxDepth levels.
	Proof json.RawMessage
}

// checkVerifiable returns ErrInvalidFunction for a function that requires a proof
// where nothing verifies one.
func (m *Manager) checkVerifiable(functions ...*Function) error {
	for _, f := range functions {
		if f.proofRequired && m.options.ProofVerifier == nil {
			return fmt.Errorf("%w: %q requires a proof; set Options.ProofVerifier", ErrInvalidFunction, f.id)
		}
	}
	return nil
}

// requiresProof reports whether a proposal to the function needs a proof; byID says
// that it names the function by its id. Options.RequireProof is the application's:
// where it panics, a proof is required.
func (m *Manager) requiresProof(shareDataID string, f *Function, byID bool) (required bool) {
	if f.proofRequired || m.options.RequireProof == nil || !byID {
		return f.proofRequired
	}
	defer func() {
		if value := recover(); value != nil {
			m.options.Logger.Error("RequireProof panicked", "shareData", shareDataID, "function", f.id, "panic", value, "stack", string(debug.Stack()))
			required = true
		}
	}()
	return m.options.RequireProof(shareDataID, f.id)
}

// validatedProof returns a copy of the proposal's proof, or nil where there is none, or
// nothing verifies it. It returns ErrProofInvalid for a proof that cannot be recorded.
func (m *Manager) validatedProof(p Proposal) (json.RawMessage, error) {
	if p.Proof == nil || m.options.ProofVerifier == nil {
		return nil, nil
	}
	if len(p.Proof) > MaxProofBytes {
		return nil, fmt.Errorf("%w: it has %d bytes; use at most %d", ErrProofInvalid, len(p.Proof), MaxProofBytes)
	}
	if err := validJSON(p.Proof); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProofInvalid, err)
	}
	proof := bytes.TrimSpace(bytes.Clone(p.Proof))
	if proof[0] != '{' {
		return nil, fmt.Errorf("%w: it is not a JSON object", ErrProofInvalid)
	}
	return proof, nil
}

// proofCheck is the verification of a request's proof, with which the call of its
// function begins.
type proofCheck struct {
	verifier ProofVerifier
	request  ProofRequest
	// accepted is set by the goroutine of the call when the verifier has accepted the
	// proof.
	accepted bool
}

// newProofCheck returns the verification of the change's proof at the position; nil if
// the change has no proof.
func (s *shareData) newProofCheck(c *change, at *position) *proofCheck {
	if c.proof == nil {
		return nil
	}
	return &proofCheck{verifier: s.manager.options.ProofVerifier, request: ProofRequest{
		Caller: c.caller, ShareDataID: s.id, FunctionID: c.function.id,
		Position: at.cursor, StateHash: at.digest.hash, Data: c.data, Proof: c.proof,
	}}
}

// verify returns why the proof is not accepted: an error that wraps ErrProofInvalid or
// ErrProofStale, or else a *FunctionError.
func (p *proofCheck) verify(ctx context.Context) error {
	err := p.verifier.VerifyProof(ctx, p.request)
	switch {
	case err == nil:
		p.accepted = true
		return nil
	case errors.Is(err, ErrProofInvalid), errors.Is(err, ErrProofStale):
		return &proofError{err}
	}
	return failure(p.request.FunctionID, fmt.Errorf("the proof was not verified: %w", err))
}

// proofError is a verifier's refusal. Its type is none of those that mean a verdict or
// a failure of the function, whatever it wraps.
type proofError struct{ err error }

func (e *proofError) Error() string { return e.err.Error() }

func (e *proofError) Unwrap() error { return e.err }
