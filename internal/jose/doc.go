// Package jose signs and verifies JSON Web Signatures in the compact serialization
// (RFC 7515 section 7.1): access tokens, proofs and checkpoints. It is strict where
// libraries are lenient, and decides alone which key and which algorithm verify a
// message; jwx gets both, the bytes that were signed, and the signature, but never
// the message.
//
//   - The algorithm must fit the type of the key, so that a public key never becomes
//     the secret of an HMAC, and "none" does not exist (RFC 8725 sections 2.1, 3.1).
//   - Keys come from the caller only. The header members jku, jwk, x5u and x5c, which
//     carry or point to keys, are ignored like every member that is not known.
//   - Every extension that changes how a message is read (crit, b64) is refused.
//   - No error contains the message or its signature.
//
// Everything here is safe for concurrent use as long as no key set is changed while
// it is used.
package jose
