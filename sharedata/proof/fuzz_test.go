package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

// FuzzVerifyProof has a key that has signed for one request only. The verifier never
// panics, and accepts nothing but that request.
func FuzzVerifyProof(f *testing.F) {
	key, err := jwk.FromRaw(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	if err := key.Set(jwk.KeyIDKey, "a1"); err != nil {
		f.Fatal(err)
	}
	registry := proof.NewRegistry()
	if err := registry.Add("issuer", "ann", key); err != nil {
		f.Fatal(err)
	}
	verifier := proof.NewVerifier(registry)
	signed := request()
	good := raw(f, prove(f, signed, key))
	hash := signed.StateHash[:]
	f.Add([]byte(good), []byte(signed.Data), "counter", "add", "issuer", "ann", uint64(3), hash)
	f.Add([]byte(good), []byte(` { "by" : 1.0 } `), "counter", "add", "issuer", "ann", uint64(3), hash)
	f.Add([]byte(good), []byte(`{"by":9007199254740993}`), "counter", "add", "issuer", "ann", uint64(3), hash)
	f.Add([]byte(good), []byte(signed.Data), "counter", "sub", "issuer", "bob", uint64(4), hash)
	f.Add(bytes.Replace(good, []byte(`"add"`), []byte(`"sub"`), 1), []byte(`[1]`), "counter", "sub", "issuer", "ann", uint64(3), hash)
	f.Add([]byte(`{"jws":".."}`), []byte(`1`), "", "", "", "", uint64(0), []byte{})
	for _, header := range []string{
		`{"alg":"none","kid":"a1","typ":"safe-proof+jws"}`, `{"alg":"ES256","kid":"a1","typ":"safe-proof+jws"}`, `{"alg":"EdDSA","kid":"a1","typ":"JWT"}`,
		`{"alg":"EdDSA","kid":"a1","typ":"safe-proof+jws","crit":["b64"],"b64":false}`, `{"alg":"EdDSA","typ":"safe-proof+jws"}`, `{"alg":"EdDSA","alg":"none"}`,
	} {
		p := prove(f, signed, key)
		p.JWS = base64.RawURLEncoding.EncodeToString([]byte(header)) + p.JWS[strings.Index(p.JWS, "."):]
		f.Add([]byte(raw(f, p)), []byte(signed.Data), "counter", "add", "issuer", "ann", uint64(3), hash)
	}
	f.Fuzz(func(t *testing.T, p, data []byte, id, function, issuer, subject string, revision uint64, hash []byte) {
		if !jsontext.Value(data).IsValid() || !jsontext.Value(p).IsValid() {
			return // the manager refuses these before
		}
		r := request()
		r.Proof, r.Data, r.ShareDataID, r.FunctionID, r.Position.Revision = p, data, id, function, revision
		r.Caller = &sharedata.Caller{Issuer: issuer, Subject: subject}
		r.StateHash = sharedata.Hash{}
		copy(r.StateHash[:], hash)
		err := verifier.VerifyProof(t.Context(), r)
		same := id == "counter" && function == "add" && issuer == "issuer" && subject == "ann" &&
			r.Position == signed.Position && r.StateHash == signed.StateHash && canonical(data) == canonical(signed.Data)
		switch {
		case err == nil && !same:
			t.Errorf("accepted %s for %+v", p, r)
		case err != nil && !errors.Is(err, sharedata.ErrProofInvalid) && !errors.Is(err, sharedata.ErrProofStale):
			t.Errorf("a failure: %v", err)
		case err != nil && same && bytes.Equal(p, good) && bytes.Equal(data, signed.Data):
			t.Errorf("refused: %v", err)
		}
	})
}

// canonical is the data as it was signed.
func canonical(data json.RawMessage) string {
	value := jsontext.Value(data).Clone()
	if value.Canonicalize() != nil {
		return "none"
	}
	return string(value)
}
