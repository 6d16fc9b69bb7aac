package proof_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"go.uber.org/goleak"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newKey returns a private key with the id.
func newKey(t testing.TB, id string, generate func() (crypto.Signer, error)) jwk.Key {
	t.Helper()
	raw, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Set(jwk.KeyIDKey, id); err != nil {
		t.Fatal(err)
	}
	return key
}

func edwards() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func p256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func p384() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }

// kit is a verifier that knows keys of ann and bob.
type kit struct {
	t        testing.TB
	registry *proof.Registry
	verifier *proof.Verifier
	ann, bob jwk.Key // Ed25519, P-256
}

func newKit(t testing.TB) *kit {
	k := &kit{t: t, registry: proof.NewRegistry(), ann: newKey(t, "a1", edwards), bob: newKey(t, "b1", p256)}
	k.verifier = proof.NewVerifier(k.registry)
	k.add("ann", k.ann)
	k.add("bob", k.bob)
	return k
}

func (k *kit) add(subject string, key jwk.Key) {
	k.t.Helper()
	if err := k.registry.Add("issuer", subject, key); err != nil {
		k.t.Fatal(err)
	}
}

// request is what the proofs of these tests are for.
func request() sharedata.ProofRequest {
	return sharedata.ProofRequest{
		Caller:      &sharedata.Caller{Issuer: "issuer", Subject: "ann"},
		ShareDataID: "counter", FunctionID: "add", Position: replay.Cursor{Epoch: 7, Revision: 3},
		StateHash: sharedata.HashState([]byte(`{"value":1}`)), Data: json.RawMessage(`{"by":1}`),
	}
}

// prove returns the proof for the request.
func prove(t testing.TB, r sharedata.ProofRequest, key jwk.Key) form.Proof {
	t.Helper()
	p := form.Proof{Claims: form.Claims{
		Position: r.Position.String(), Purpose: r.FunctionID, ShareDataID: r.ShareDataID, StateHash: r.StateHash.String(),
	}}
	if r.Caller != nil {
		p.Caller = form.Caller{Issuer: r.Caller.Issuer, Subject: r.Caller.Subject}
	}
	document, err := p.Document(r.Data)
	if err != nil {
		t.Fatal(err)
	}
	if p.JWS, err = jose.SignDetached(document, form.Type, key); err != nil {
		t.Fatal(err)
	}
	return p
}

func raw(t testing.TB, p form.Proof) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
