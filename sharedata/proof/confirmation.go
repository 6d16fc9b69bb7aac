package proof

import (
	"context"
	"encoding/json"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/sharedata"
)

// ConfirmationKeys finds a caller's key in the caller's own token: in the claim "cnf"
// (RFC 7800 section 3.2), {"cnf":{"jwk":{…}}}, of Caller.Claims. The token issuer binds
// keys to callers, so the server needs no key registry. The key has the member "kid".
// The claim is recorded with every entry, so an audit needs no other source of keys than
// the history, if it trusts the issuer.
type ConfirmationKeys struct{}

// ProofKey implements Keys.
func (ConfirmationKeys) ProofKey(_ context.Context, caller *sharedata.Caller, keyID string) (jwk.Key, error) {
	if caller == nil || caller.Claims == nil {
		return nil, ErrUnknownKey
	}
	var claims struct {
		Confirmation struct {
			Key json.RawMessage `json:"jwk"`
		} `json:"cnf"`
	}
	if json.Unmarshal(caller.Claims, &claims) != nil || claims.Confirmation.Key == nil {
		return nil, ErrUnknownKey
	}
	key, err := jwk.ParseKey(claims.Confirmation.Key)
	if err != nil || key.KeyID() != keyID || len(jose.AlgorithmsOf(key)) == 0 {
		return nil, ErrUnknownKey
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, ErrUnknownKey
	}
	return public, nil
}
