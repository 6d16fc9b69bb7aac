// Package proof verifies proofs that are signatures: a JSON Web Signature (RFC 7515)
// with Ed25519 or ES256, over a canonical document (RFC 8785) of the caller, the
// ShareData, the function, the position, the state and the proposed data. So a proof
// serves one change at one position by one caller, and cannot be replayed.
// docs/proofs.md describes the form; package client/proof makes such proofs.
//
//	keys := proof.NewRegistry()
//	err := keys.Add("https://issuer.example", "ann", key) // ann's public key, with an id
//	verifier := proof.NewVerifier(keys)
//	manager, err := sharedata.NewManager(&sharedata.Options{ProofVerifier: verifier})
//
// Whether a proof is required is decided by sharedata.Options.RequireProof and
// sharedata.Function.WithRequiredProof. An entry keeps its proof: VerifyEntry verifies
// it again, for an audit.
package proof
