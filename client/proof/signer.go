// Package proof makes proofs that are signatures, for proposals to a server that
// verifies them with package sharedata/proof. docs/proofs.md describes their form.
//
//	signer, err := proof.NewSigner("https://issuer.example", "ann", "key-1", privateKey)
//	c.Subscribe("counter") // the client must know the position
//	result, err := c.ProposeWith(ctx, client.Proposal{
//		ShareDataID: "counter", FunctionID: "add", Data: Add{By: 1}, Prove: signer.Prove,
//	})
package proof

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/internal/jose"
)

// ErrKey: a key cannot sign proofs.
var ErrKey = errors.New("the key cannot sign proofs")

// Signer makes the proofs of one caller with one key. Its methods may be called from any
// number of goroutines.
type Signer struct {
	caller form.Caller
	key    jwk.Key
}

// NewSigner returns a Signer for the caller that the server knows by the issuer and the
// subject; those of its token, if it has one ("iss" and "sub"), and otherwise what the
// server's authenticator says. Both may be empty. The server must know the key by the
// same id, which is not empty. The key is an ed25519.PrivateKey or an *ecdsa.PrivateKey
// on P-256; otherwise NewSigner fails with ErrKey.
func NewSigner(issuer, subject, keyID string, key crypto.Signer) (*Signer, error) {
	if keyID == "" {
		return nil, fmt.Errorf("%w: it has no id; use the one that the server knows it by", ErrKey)
	}
	if edwards, ok := key.(ed25519.PrivateKey); ok && len(edwards) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: it has %d bytes; use %d", ErrKey, len(edwards), ed25519.PrivateKeySize)
	}
	converted, err := jwk.FromRaw(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if private, err := jwk.IsPrivateKey(converted); err != nil || !private || !jose.IsFor(converted, form.Algorithms[:]...) {
		return nil, fmt.Errorf("%w: it is a %T; use an ed25519.PrivateKey or an *ecdsa.PrivateKey on P-256", ErrKey, key)
	}
	if err := converted.Set(jwk.KeyIDKey, keyID); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Signer{caller: form.Caller{Issuer: issuer, Subject: subject}, key: converted}, nil
}

// Prove is a client.Prover. It fails if the data has a number that would be another one
// in canonical form (RFC 8785), which has IEEE 754 double precision: 2^53+1, for example.
// Propose such numbers as strings.
func (s *Signer) Prove(_ context.Context, input client.ProofInput) (any, error) {
	p := form.Proof{Claims: form.Claims{
		Caller: s.caller, Position: input.Position, Purpose: input.FunctionID,
		ShareDataID: input.ShareDataID, StateHash: input.StateHash,
	}}
	document, err := p.Document(input.Data)
	if err != nil {
		return nil, err
	}
	if p.JWS, err = jose.SignDetached(document, form.Type, s.key); err != nil {
		return nil, err
	}
	return p, nil
}
