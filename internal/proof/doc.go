// Package proof has the form of the proofs that signatures make: what is signed, and
// what a proposal carries. The server's verifier (sharedata/proof) and the client's
// signer (client/proof) share it. docs/proofs.md describes it for other clients.
package proof
