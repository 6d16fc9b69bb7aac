// Package proof defines the format of signed proofs: the signed document and the JSON
// that a proposal carries. The server's verifier (sharedata/proof) and the client's
// signer (client/proof) share it. docs/proofs.md describes it for other clients.
package proof
