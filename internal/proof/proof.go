package proof

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
)

// Type is the member "typ" of the header of the signature (RFC 7515 section 4.1.9). It
// keeps proofs apart from whatever else is signed by the same key.
const Type = "safe-proof+jws"

// Algorithms are those of the signatures (RFC 7518 section 3.4, RFC 8037 section 3.1).
var Algorithms = [...]string{"EdDSA", "ES256"}

// Proof is what a proposal carries: the claims, so that a proof that is for something
// else is found before any signature is verified, and a signature over the document of
// the claims and the proposed data.
type Proof struct {
	Claims
	// JWS is a detached signature in the compact serialization (RFC 7515 section 7.1
	// and appendix F): the part between the two periods, the document, is left out.
	JWS string `json:"jws"`
}

var errNotProof = errors.New(`it is not an object of the members "caller", "position", "purpose", "shareDataId", "stateHash" and "jws"`)

// Parse reads a proof. It accepts no other members, which nobody would have signed.
func Parse(raw json.RawMessage) (Proof, error) {
	var p Proof
	if err := jsonv2.Unmarshal(raw, &p, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", errNotProof, err)
	}
	return p, nil
}
