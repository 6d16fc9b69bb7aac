package main

import (
	"crypto"
	"fmt"
	"os"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/safe-go/safe/client"
	"github.com/safe-go/safe/client/proof"
)

// newProver returns what proves proposals with the key in a file, in the name of the
// owner of the token; nil without a file.
func newProver(file, token string) (client.Prover, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var private crypto.Signer
	if err := key.Raw(&private); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	owner, err := jwt.ParseInsecure([]byte(token)) // the server verifies it
	if err != nil {
		return nil, fmt.Errorf("-proof-key needs a signed -token: %w", err)
	}
	signer, err := proof.NewSigner(owner.Issuer(), owner.Subject(), key.KeyID(), private)
	if err != nil {
		return nil, err
	}
	return signer.Prove, nil
}
