package proof

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// Verifier is a sharedata.ProofVerifier.
type Verifier struct{ keys Keys }

// NewVerifier returns a Verifier of proofs that are signed with the keys.
func NewVerifier(keys Keys) *Verifier { return &Verifier{keys: keys} }

// VerifyProof implements sharedata.ProofVerifier. It checks in this order, so that
// garbage and stale proofs cost no signature: the form, what the proof claims to be for,
// the position, the state, the key, and the signature.
func (v *Verifier) VerifyProof(ctx context.Context, request sharedata.ProofRequest) error {
	p, err := form.Parse(request.Proof)
	if err != nil {
		return invalid("%w", err)
	}
	message, err := parseSignature(p.JWS)
	if err != nil {
		return err
	}
	if err := checkClaims(&p, &request); err != nil {
		return err
	}
	key, err := v.key(ctx, request.Caller, message.Header.KeyID)
	if err != nil {
		return err
	}
	document, err := p.Document(request.Data)
	if err != nil {
		return invalid("%w", err)
	}
	if message, err = message.WithPayload(document); err != nil {
		return invalid("%w", err)
	}
	if _, err := message.Verify(key); err != nil {
		return invalid("%w: other data was signed, by another key, or the proof was changed", err)
	}
	return nil
}

// parseSignature reads the signature as far as that is possible without a key.
func parseSignature(compact string) (*jose.Message, error) {
	message, err := jose.Parse(compact)
	switch {
	case err != nil:
		return nil, invalid("its jws: %w", err)
	case !slices.Contains(form.Algorithms[:], message.Header.Algorithm):
		return nil, invalid("its jws has the algorithm %q; use one of %q", message.Header.Algorithm, form.Algorithms)
	case message.Header.Type != form.Type:
		return nil, invalid("its jws has the type %.40q; use %q", message.Header.Type, form.Type)
	case message.Header.ContentType != "":
		return nil, invalid("its jws has a content type; leave it out")
	case message.Header.KeyID == "":
		return nil, invalid("its jws does not name a key; set \"kid\"")
	case len(message.Payload) > 0:
		return nil, invalid("its jws has a payload; leave the part between the periods empty")
	}
	return message, nil
}

// checkClaims returns an error unless the claims of the proof are those of the request:
// ErrProofStale if only the position or the state differs, and otherwise
// ErrProofInvalid.
func checkClaims(p *form.Proof, request *sharedata.ProofRequest) error {
	of := ownerOf(request.Caller)
	var position replay.Cursor
	var stateHash sharedata.Hash
	switch {
	case p.ShareDataID != request.ShareDataID:
		return invalid("it is for the ShareData %.60q, and not for %.60q", p.ShareDataID, request.ShareDataID)
	case p.Purpose != request.FunctionID:
		return invalid("its purpose is the function %.60q, and not %.60q", p.Purpose, request.FunctionID)
	case p.Caller.Issuer != of.issuer:
		return invalid("it is by a caller of the issuer %.60q, and not of %.60q", p.Caller.Issuer, of.issuer)
	case p.Caller.Subject != of.subject:
		return invalid("it is by the caller %.60q, and not by %.60q", p.Caller.Subject, of.subject)
	case position.UnmarshalText([]byte(p.Position)) != nil:
		return invalid("its position %.60q is no cursor", p.Position)
	case stateHash.UnmarshalText([]byte(p.StateHash)) != nil, hex.EncodeToString(stateHash[:]) != p.StateHash:
		return invalid("its stateHash is not 64 hexadecimal digits in lower case")
	case position != request.Position:
		return fmt.Errorf("%w: it is for the position %s, and the ShareData is at %s", sharedata.ErrProofStale, position, request.Position)
	case stateHash != request.StateHash:
		return fmt.Errorf("%w: it is for another state than that at %s; take the bytes of currentState as they are", sharedata.ErrProofStale, position)
	}
	return nil
}

// key returns the caller's key as a set of one.
func (v *Verifier) key(ctx context.Context, caller *sharedata.Caller, id string) (jwk.Set, error) {
	key, err := v.keys.ProofKey(ctx, caller, id)
	of := ownerOf(caller)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, invalid("%w: %.60q has none by the id %.60q", ErrUnknownKey, of.subject, id)
	case err != nil:
		return nil, fmt.Errorf("the key %.60q of %.60q: %w", id, of.subject, err)
	case key == nil || key.KeyID() != id:
		return nil, fmt.Errorf("the key %.60q of %.60q: the source returned another one", id, of.subject)
	}
	set := jwk.NewSet()
	return set, set.AddKey(key)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{sharedata.ErrProofInvalid}, args...)...)
}
