package proof_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

func TestConfirmationKeys(t *testing.T) {
	k := newKit(t)
	public, err := k.ann.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	verifier := proof.NewVerifier(proof.ConfirmationKeys{})
	r := request()
	r.Proof = raw(t, prove(t, r, k.ann))
	for name, test := range map[string]struct {
		claims string
		want   error
	}{
		"the key":           {fmt.Sprintf(`{"role":"x","cnf":{"jwk":%s}}`, text), nil},
		"no claims":         {``, sharedata.ErrProofInvalid},
		"no confirmation":   {`{}`, sharedata.ErrProofInvalid},
		"not an object":     {`{"cnf":"a1"}`, sharedata.ErrProofInvalid},
		"no key":            {`{"cnf":{"kid":"a1"}}`, sharedata.ErrProofInvalid},
		"not a key":         {`{"cnf":{"jwk":{"kty":"OKP","kid":"a1"}}}`, sharedata.ErrProofInvalid},
		"a secret":          {`{"cnf":{"jwk":{"kty":"oct","kid":"a1","k":"AAAA"}}}`, sharedata.ErrProofInvalid},
		"claims are a list": {`[]`, sharedata.ErrProofInvalid},
	} {
		r := r
		r.Caller = &sharedata.Caller{Issuer: "issuer", Subject: "ann"}
		if test.claims != "" {
			r.Caller.Claims = json.RawMessage(test.claims)
		}
		if err := verifier.VerifyProof(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	other := request()
	other.Proof = raw(t, prove(t, other, k.bob))
	other.Caller.Claims = json.RawMessage(fmt.Sprintf(`{"cnf":{"jwk":%s}}`, text))
	if err := verifier.VerifyProof(t.Context(), other); !errors.Is(err, proof.ErrUnknownKey) {
		t.Errorf("with a key that the token does not name: %v", err)
	}
}
