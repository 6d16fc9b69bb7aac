package proof_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	form "github.com/safe-go/safe/internal/proof"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/proof"
)

func TestVerify_Accepts(t *testing.T) {
	k := newKit(t)
	k.add("ann", newKey(t, "a2", p256)) // not this one
	k.add("", k.ann)
	if err := k.registry.Add("", "", k.bob); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key    jwk.Key
		change func(r *sharedata.ProofRequest)
	}{
		"Ed25519":            {k.ann, func(*sharedata.ProofRequest) {}},
		"ES256":              {k.bob, func(r *sharedata.ProofRequest) { r.Caller.Subject = "bob" }},
		"an empty subject":   {k.ann, func(r *sharedata.ProofRequest) { r.Caller.Subject = "" }},
		"no caller":          {k.bob, func(r *sharedata.ProofRequest) { r.Caller = nil }},
		"internal function":  {k.ann, func(r *sharedata.ProofRequest) { r.FunctionID = "" }},
		"null":               {k.ann, func(r *sharedata.ProofRequest) { r.Data = json.RawMessage("null") }},
		"large data":         {k.ann, func(r *sharedata.ProofRequest) { r.Data = json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`) }},
		"claims of a caller": {k.ann, func(r *sharedata.ProofRequest) { r.Caller.Claims = json.RawMessage(`{"role":1}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			test.change(&r)
			r.Proof = raw(t, prove(t, r, test.key))
			if err := k.verifier.VerifyProof(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
}

// The same data may have other escapes, white space or order of members, for example
// those of the store.
func TestVerify_EquivalentJSON(t *testing.T) {
	k, r := newKit(t), request()
	r.Data = json.RawMessage(`{"b":[1.50,"<A>"],"a":null}`)
	r.Proof = raw(t, prove(t, r, k.ann))
	r.Data = json.RawMessage(` {"a":null, "b":[ 15e-1, "\u003c\u0041>"]}`)
	if err := k.verifier.VerifyProof(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// A proof that is good is presented with another request, or was changed.
func TestVerify_Refuses(t *testing.T) {
	k := newKit(t)
	stranger, curve384 := newKey(t, "a1", edwards), newKey(t, "a9", p384)
	rename := func(key jwk.Key, id string) jwk.Key {
		renamed, err := key.Clone()
		if err == nil {
			err = renamed.Set(jwk.KeyIDKey, id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return renamed
	}
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	header := func(text string) func(p *form.Proof) {
		return func(p *form.Proof) { p.JWS = part(text) + p.JWS[strings.Index(p.JWS, "."):] }
	}
	signed := func(key jwk.Key, typ string) func(p *form.Proof) {
		return func(p *form.Proof) {
			document, err := p.Document(request().Data)
			if err == nil {
				p.JWS, err = jose.SignDetached(document, typ, key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	invalid, stale := sharedata.ErrProofInvalid, sharedata.ErrProofStale
	messages := make(map[string]string)
	for _, test := range []struct {
		name    string
		request func(r *sharedata.ProofRequest) // changed after the proof was made
		proof   func(p *form.Proof)
		want    error
		text    string // in the message
	}{
		{"replayed at the next position", func(r *sharedata.ProofRequest) { r.Position.Revision++ }, nil, stale, "7-3, and the ShareData is at 7-4"},
		{"replayed in another epoch", func(r *sharedata.ProofRequest) { r.Position.Epoch++ }, nil, stale, "is at 8-3"},
		{"replayed at another state", func(r *sharedata.ProofRequest) { r.StateHash[0]++ }, nil, stale, "another state"},
		{"replayed for another function", func(r *sharedata.ProofRequest) { r.FunctionID = "sub" }, nil, invalid, `purpose is the function "add"`},
		{"replayed for another ShareData", func(r *sharedata.ProofRequest) { r.ShareDataID = "other" }, nil, invalid, `ShareData "counter"`},
		{"replayed with other data", func(r *sharedata.ProofRequest) { r.Data = json.RawMessage(`{"by":2}`) }, nil, invalid, "other data"},
		{"by another caller", func(r *sharedata.ProofRequest) { r.Caller = &sharedata.Caller{Issuer: "issuer", Subject: "bob"} }, nil, invalid, `by the caller "ann"`},
		{"by no caller", func(r *sharedata.ProofRequest) { r.Caller = nil }, nil, invalid, `of the issuer "issuer", and not of ""`},
		{"by a caller of another issuer", func(r *sharedata.ProofRequest) { r.Caller = &sharedata.Caller{Issuer: "i2", Subject: "ann"} }, nil, invalid, "issuer"},
		{"moved to the position", func(r *sharedata.ProofRequest) { r.Position.Revision++ }, func(p *form.Proof) { p.Position = "7-4" }, invalid, "signature"},
		{"moved to the state", func(r *sharedata.ProofRequest) { r.StateHash[0]++ }, func(p *form.Proof) {
			r := request()
			r.StateHash[0]++
			p.StateHash = r.StateHash.String()
		}, invalid, "signature"},
		{"moved to the function", func(r *sharedata.ProofRequest) { r.FunctionID = "sub" }, func(p *form.Proof) { p.Purpose = "sub" }, invalid, "signature"},
		{"moved to the ShareData", func(r *sharedata.ProofRequest) { r.ShareDataID = "x" }, func(p *form.Proof) { p.ShareDataID = "x" }, invalid, "signature"},
		{"moved to another caller", func(r *sharedata.ProofRequest) { r.Caller = &sharedata.Caller{Issuer: "issuer", Subject: "bob"} }, func(p *form.Proof) { p.Caller.Subject = "bob" }, invalid, "no such key"},
		{"stale, and for another function", func(r *sharedata.ProofRequest) { r.Position.Revision++; r.FunctionID = "x" }, nil, invalid, "purpose"},
		{"data with a number that is none", func(r *sharedata.ProofRequest) { r.Data = json.RawMessage(`9007199254740993`) }, nil, invalid, "9007199254740993"},
		{"a position that is none", nil, func(p *form.Proof) { p.Position = "7-03" }, invalid, "is no cursor"},
		{"no position", nil, func(p *form.Proof) { p.Position = "" }, invalid, `position "" is no cursor`},
		{"a hash in upper case", nil, func(p *form.Proof) { p.StateHash = strings.ToUpper(p.StateHash) }, invalid, "lower case"},
		{"a hash that is none", nil, func(p *form.Proof) { p.StateHash = "ff" }, invalid, "64"},
		{"signed by another caller's key", nil, signed(k.bob, form.Type), invalid, `none by the id "b1"`},
		{"signed by another key with the id", nil, signed(stranger, form.Type), invalid, "signature"},
		{"signed by another caller's key with the id", nil, signed(rename(k.bob, "a1"), form.Type), invalid, "not allowed"},
		{"signed by an unknown key", nil, signed(rename(k.ann, "a3"), form.Type), invalid, `none by the id "a3"`},
		{"signed without the id of a key", nil, signed(rename(k.ann, ""), form.Type), invalid, "kid"},
		{"signed with ES384", nil, signed(curve384, form.Type), invalid, `"ES384"`},
		{"signed as something else", nil, signed(k.ann, "JWT"), invalid, `type "JWT"`},
		{"signed without a type", nil, signed(k.ann, ""), invalid, `type ""`},
		{"algorithm none", nil, header(`{"alg":"none","kid":"a1","typ":"safe-proof+jws"}`), invalid, "none"},
		{"algorithm HS256", nil, header(`{"alg":"HS256","kid":"a1","typ":"safe-proof+jws"}`), invalid, "HS256"},
		{"algorithm of the other key", nil, header(`{"alg":"ES256","kid":"a1","typ":"safe-proof+jws"}`), invalid, "not allowed"},
		{"extension crit", nil, header(`{"alg":"EdDSA","kid":"a1","typ":"safe-proof+jws","crit":["b64"],"b64":false}`), invalid, "extension"},
		{"content type", nil, header(`{"alg":"EdDSA","kid":"a1","typ":"safe-proof+jws","cty":"JWT"}`), invalid, "content type"},
		{"another header", nil, header(`{"alg":"EdDSA","kid":"a1","typ":"safe-proof+jws","more":1}`), invalid, "signature"},
		{"header that is not JSON", nil, header(`{`), invalid, "header"},
		{"payload that is not detached", nil, func(p *form.Proof) { p.JWS = strings.Replace(p.JWS, "..", "."+part("{}")+".", 1) }, invalid, "payload"},
		{"no signature", nil, func(p *form.Proof) { p.JWS = p.JWS[:strings.LastIndex(p.JWS, ".")+1] }, invalid, "signature"},
		{"signature cut off", nil, func(p *form.Proof) { p.JWS = p.JWS[:len(p.JWS)-6] }, invalid, "signature"},
		{"two parts", nil, func(p *form.Proof) { p.JWS = strings.Replace(p.JWS, "..", ".", 1) }, invalid, "three parts"},
		{"padding", nil, func(p *form.Proof) { p.JWS += "=" }, invalid, "base64url"},
		{"no JWS", nil, func(p *form.Proof) { p.JWS = "" }, invalid, "three parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request()
			p := prove(t, r, k.ann)
			if test.request != nil {
				test.request(&r)
			}
			if test.proof != nil {
				test.proof(&p)
			}
			r.Proof = raw(t, p)
			err := k.verifier.VerifyProof(t.Context(), r)
			if !errors.Is(err, test.want) || errors.Is(err, stale) && test.want != stale {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("%q does not say %q", err, test.text)
			}
			if strings.HasPrefix(test.name, "replayed") {
				if other := messages[err.Error()]; other != "" {
					t.Errorf("%q has the message of %q: %v", test.name, other, err)
				}
				messages[err.Error()] = test.name
			}
		})
	}
}

func TestVerify_MalformedProof(t *testing.T) {
	k, r := newKit(t), request()
	good := string(raw(t, prove(t, r, k.ann)))
	for name, text := range map[string]string{
		"empty":             `{}`,
		"another member":    strings.Replace(good, `{`, `{"exp":1,`, 1),
		"a member twice":    strings.Replace(good, `{`, `{"purpose":"add",`, 1),
		"a member in upper": strings.Replace(good, `"jws"`, `"JWS"`, 1),
		"a caller's claim":  strings.Replace(good, `"issuer":`, `"role":"admin","issuer":`, 1),
		"a number":          strings.Replace(good, `"add"`, `1`, 1),
		"a string":          `"` + "x" + `"`,
	} {
		if r.Proof = json.RawMessage(text); text == good || !errors.Is(k.verifier.VerifyProof(t.Context(), r), sharedata.ErrProofInvalid) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRegistry_Keys(t *testing.T) {
	k, r := newKit(t), request()
	r.Proof = raw(t, prove(t, r, k.ann))
	k.registry.Remove("issuer", "ann", "a1")
	k.registry.Remove("issuer", "nobody", "a1")
	if err := k.verifier.VerifyProof(t.Context(), r); !errors.Is(err, proof.ErrUnknownKey) || !errors.Is(err, sharedata.ErrProofInvalid) {
		t.Errorf("removed: %v", err)
	}
	k.add("ann", k.ann)
	if err := k.verifier.VerifyProof(t.Context(), r); err != nil {
		t.Errorf("added again: %v", err)
	}
	if key, err := k.registry.ProofKey(t.Context(), r.Caller, "a1"); err != nil {
		t.Error(err)
	} else if private, _ := jwk.IsPrivateKey(key); private {
		t.Error("the private key is kept")
	}
	secret, err := jwk.FromRaw(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	forEncryption := newKey(t, "x", edwards)
	if err := forEncryption.Set(jwk.KeyUsageKey, jwk.ForEncryption); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]jwk.Key{"without id": newKey(t, "", edwards), "P-384": newKey(t, "x", p384), "a secret": secret, "for encryption": forEncryption} {
		if err := k.registry.Add("issuer", "ann", key); !errors.Is(err, proof.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keysFunc is a Keys.
type keysFunc func() (jwk.Key, error)

func (f keysFunc) ProofKey(context.Context, *sharedata.Caller, string) (jwk.Key, error) { return f() }

// A source of keys that fails says nothing about the proof.
func TestKeys_Failure(t *testing.T) {
	k, r := newKit(t), request()
	r.Proof = raw(t, prove(t, r, k.ann))
	down := errors.New("down")
	for name, keys := range map[string]keysFunc{
		"an error":    func() (jwk.Key, error) { return nil, down },
		"nothing":     func() (jwk.Key, error) { return nil, nil },
		"another key": func() (jwk.Key, error) { return k.bob, nil },
	} {
		err := proof.NewVerifier(keys).VerifyProof(t.Context(), r)
		if err == nil || errors.Is(err, sharedata.ErrProofInvalid) || errors.Is(err, down) != (name == "an error") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stale proof costs no key and no signature.
func TestVerify_StaleIsCheap(t *testing.T) {
	k, r := newKit(t), request()
	r.Proof = raw(t, prove(t, r, k.ann))
	r.Position.Revision++
	verifier := proof.NewVerifier(keysFunc(func() (jwk.Key, error) { t.Error("the key was looked up"); return nil, nil }))
	if err := verifier.VerifyProof(t.Context(), r); !errors.Is(err, sharedata.ErrProofStale) {
		t.Error(err)
	}
}
