package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/safe-go/safe/realtime/auth"
)

const (
	issuer = "https://id.example"
	second = "https://second.example"
	other  = "https://other.example" // only for the audience OTHER
)

// fixture has keys of all types, by id, and an Authenticator that knows them.
type fixture struct {
	testing.TB
	raw           map[string]any // private keys and secrets
	authenticator *auth.Authenticator
	authorities   *auth.Authorities
}

// listed is a source of keys without any check, as an application may have one.
type listed struct{ jwk.Set }

func (l listed) Keys(context.Context) (jwk.Set, error) { return l.Set, nil }

func newFixture(t testing.TB, options *auth.Options) *fixture {
	t.Helper()
	f := &fixture{TB: t, raw: map[string]any{
		"rsa": must(rsa.GenerateKey(rand.Reader, 2048)), "ed": newEd25519(), "hs": []byte(strings.Repeat("s", 64)),
		"ec": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "p384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p521": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"enc":  newEd25519(), "sign-only": newEd25519(), "weak-hs": []byte("password"),
		"weak-rsa": must(rsa.GenerateKey(rand.Reader, 1024)), "second": newEd25519(), "other": newEd25519(), "removed": newEd25519(),
	}}
	f.raw["bound"] = f.raw["rsa"]
	set := jwk.NewSet()
	for id, raw := range f.raw {
		if id != "second" && id != "other" && id != "removed" {
			add(t, set, id, raw)
		}
	}
	set2, set3 := jwk.NewSet(), jwk.NewSet()
	add(t, set2, "ed", f.raw["second"]) // an id that the first issuer uses too
	add(t, set3, "other", f.raw["other"])
	f.authorities = auth.NewAuthorities()
	f.check(f.authorities.Set(auth.DefaultAudience, issuer, listed{set}))
	f.check(f.authorities.Set(auth.DefaultAudience, second, listed{set2}, "EdDSA"))
	f.check(f.authorities.Set("OTHER", other, listed{set3}))
	var err error
	f.authenticator, err = auth.NewAuthenticator(f.authorities, options)
	f.check(err)
	return f
}

func add(t testing.TB, set jwk.Set, id string, raw any) {
	t.Helper()
	key, err := jwk.PublicKeyOf(raw)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{jwk.KeyIDKey: id}
	switch id {
	case "enc":
		members[jwk.KeyUsageKey] = "enc"
	case "sign-only":
		members[jwk.KeyOpsKey] = "sign"
	case "bound":
		members[jwk.AlgorithmKey] = "PS256"
	}
	for name, value := range members {
		if err := key.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.AddKey(key); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// claims returns those of a good token with changes: name, JSON, name, JSON, ...; empty
// JSON removes the claim.
func claims(changes ...string) string {
	now := time.Now().Unix()
	members := map[string]string{
		"iss": `"` + issuer + `"`, "sub": `"anna"`, "aud": `"SHAREDATA"`, "exp": fmt.Sprint(now + 600), "iat": fmt.Sprint(now),
	}
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name] != "" {
			list = append(list, string(must(json.Marshal(name)))+":"+members[name])
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

// at is a NumericDate some seconds from now.
func at(seconds float64) string {
	return fmt.Sprintf("%.3f", float64(time.Now().UnixMilli())/1000+seconds)
}

var encode = base64.RawURLEncoding.EncodeToString

// token signs any header and payload with a raw key by any algorithm.
func token(header, payload, algorithm string, raw any) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	signer := must(jws.NewSigner(jwa.SignatureAlgorithm(algorithm)))
	return signed + "." + encode(must(signer.Sign([]byte(signed), raw)))
}

// signed returns a token with claims, signed by one of the fixture's keys.
func (f *fixture) signed(algorithm, id, payload string) string {
	return token(fmt.Sprintf(`{"alg":%q,"kid":%q}`, algorithm, id), payload, algorithm, f.raw[id])
}

// withClaims is a good token but for its claims.
func (f *fixture) withClaims(changes ...string) string {
	return f.signed("EdDSA", "ed", claims(changes...))
}

// withHeader is a good token but for further members of its header.
func (f *fixture) withHeader(members string) string {
	return token(`{"alg":"EdDSA","kid":"ed",`+members+`}`, claims(), "EdDSA", f.raw["ed"])
}

func inHeader(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/realtime", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func newEd25519() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
