package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/realtime/auth"
)

// TestAuthenticateToken_BadTokens has a reason for each token, a part of the error's text, so
// that no token is refused for another reason than the one that is tested.
func TestAuthenticateToken_BadTokens(t *testing.T) {
	f := newFixture(t, nil)
	var requests atomic.Int32
	attacker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer attacker.Close()

	good := f.withClaims()
	parts := strings.Split(good, ".")
	rsaKey := f.raw["rsa"].(*rsa.PrivateKey)
	rsaPublic := must(jwk.PublicKeyOf(rsaKey))
	pem, jwkText := must(jwk.EncodePEM(rsaPublic)), must(json.Marshal(rsaPublic))
	stranger := newEd25519()
	strangerJWK := string(must(json.Marshal(must(jwk.PublicKeyOf(stranger)))))
	unsigned := func(header string) string { return encode([]byte(header)) + "." + encode([]byte(claims())) + "." }
	es256 := f.signed("ES256", "ec", claims())
	es256 = es256[:strings.LastIndex(es256, ".")+1]
	digest := sha256.Sum256([]byte(strings.TrimSuffix(es256, ".")))
	der := must(ecdsa.SignASN1(rand.Reader, f.raw["ec"].(*ecdsa.PrivateKey), digest[:]))
	byStranger := func(members string) string {
		return token(`{"alg":"EdDSA",`+members+`}`, claims(), "EdDSA", stranger)
	}

	bad := []struct{ name, token, reason string }{
		// algorithms
		{"none without a signature", unsigned(`{"alg":"none","kid":"ed"}`), `not allowed: "none"`},
		{"none with a signature", token(`{"alg":"none","kid":"ed"}`, claims(), "EdDSA", f.raw["ed"]), `not allowed: "none"`},
		{"None", unsigned(`{"alg":"None"}`), `not allowed: "None"`},
		{"nOnE", unsigned(`{"alg":"nOnE"}`), `not allowed: "nOnE"`},
		{"alg missing", token(`{"kid":"ed"}`, claims(), "EdDSA", f.raw["ed"]), `not allowed: ""`},
		{"alg null", token(`{"alg":null,"kid":"ed"}`, claims(), "EdDSA", f.raw["ed"]), `"alg" is not a string`},
		{"alg a list", token(`{"alg":["EdDSA"],"kid":"ed"}`, claims(), "EdDSA", f.raw["ed"]), `"alg" is not a string`},
		{"alg in lower case", token(`{"alg":"eddsa","kid":"ed"}`, claims(), "EdDSA", f.raw["ed"]), `not allowed: "eddsa"`},
		{"ES256K", token(`{"alg":"ES256K","kid":"ec"}`, claims(), "ES256", f.raw["ec"]), `not allowed: "ES256K"`},
		{"key agreement", token(`{"alg":"ECDH-ES","kid":"ec"}`, claims(), "ES256", f.raw["ec"]), `not allowed: "ECDH-ES"`},
		{"public key (PEM) as secret", token(`{"alg":"HS256","kid":"rsa"}`, claims(), "HS256", pem), `"rsa" may be used with HS256`},
		{"public key (JWK) as secret", token(`{"alg":"HS256","kid":"rsa"}`, claims(), "HS256", jwkText), `"rsa" may be used with HS256`},
		{"public key as secret, no kid", token(`{"alg":"HS256"}`, claims(), "HS256", pem), "signature"},
		{"HMAC with an Ed25519 key", token(`{"alg":"HS512","kid":"ed"}`, claims(), "HS512", []byte(stranger)), `"ed" may be used with HS512`},
		{"RS256 with a P-256 key", token(`{"alg":"RS256","kid":"ec"}`, claims(), "RS256", rsaKey), `"ec" may be used with RS256`},
		{"ES384 with a P-256 key", token(`{"alg":"ES384","kid":"ec"}`, claims(), "ES384", f.raw["ec"]), `"ec" may be used with ES384`},
		{"other than the alg of the key", f.signed("RS256", "bound", claims()), `"bound" may be used with RS256`},
		{"PS256 as RS256", token(`{"alg":"RS256","kid":"rsa"}`, claims(), "PS256", rsaKey), "signature"},
		{"not allowed for the issuer", f.signed("ES256", "ec", claims("iss", `"`+second+`"`)), "second.example\": ES256"},

		// keys
		{"unknown kid", token(`{"alg":"EdDSA","kid":"nobody"}`, claims(), "EdDSA", f.raw["ed"]), `none has the id "nobody"`},
		{"kid of another key", token(`{"alg":"EdDSA","kid":"enc"}`, claims(), "EdDSA", f.raw["ed"]), `"enc" may be used with EdDSA`},
		{"kid with a path", token(`{"alg":"EdDSA","kid":"../../dev/null"}`, claims(), "EdDSA", f.raw["ed"]), "none has the id"},
		{"kid a number", token(`{"alg":"EdDSA","kid":1}`, claims(), "EdDSA", f.raw["ed"]), `"kid" is not a string`},
		{"removed key", f.signed("EdDSA", "removed", claims()), `none has the id "removed"`},
		{"key for encryption", f.signed("EdDSA", "enc", claims()), `"enc" may be used with EdDSA`},
		{"key only to sign", f.signed("EdDSA", "sign-only", claims()), `"sign-only" may be used with EdDSA`},
		{"RSA with 1024 bits", f.signed("RS256", "weak-rsa", claims()), `"weak-rsa" may be used with RS256`},
		{"weak secret", f.signed("HS256", "weak-hs", claims()), `"weak-hs" may be used with HS256`},
		{"key of another issuer", f.signed("EdDSA", "ed", claims("iss", `"`+second+`"`)), "signature"},
		{"key in the header (jwk)", byStranger(`"kid":"ed","jwk":` + strangerJWK), "signature"},
		{"key in the header, no kid", token(`{"alg":"RS256","jwk":`+strangerJWK+`}`, claims(), "RS256", must(rsa.GenerateKey(rand.Reader, 2048))), "signature"},
		{"URL of keys (jku)", byStranger(`"kid":"ed","jku":"` + attacker.URL + `"`), "signature"},
		{"URL of a certificate (x5u)", byStranger(`"kid":"ed","x5u":"` + attacker.URL + `"`), "signature"},
		{"certificate (x5c)", byStranger(`"kid":"ed","x5c":["AAAA"]`), "signature"},

		// signatures
		{"signature missing", parts[0] + "." + parts[1] + ".", "signature"},
		{"signature truncated", good[:len(good)-6], "signature"},
		{"signature extended", good + "AAAA", "signature"},
		{"signature of another payload", parts[0] + "." + encode([]byte(claims("sub", `"root"`))) + "." + parts[2], "signature"},
		{"signature of another header", encode([]byte(`{"alg":"EdDSA","kid":"ed","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2], "signature"},
		{"ES256 in DER", es256 + encode(der), "signature"},
		{"ES256 of zeros", es256 + encode(make([]byte, 64)), "signature"},

		// serialization
		{"empty", "", "three parts"},
		{"text", "password", "three parts"},
		{"two parts", parts[0] + "." + parts[1], "three parts"},
		{"five parts (JWE)", good + ".AAAA.AAAA", "three parts"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "three parts"},
		{"two tokens", good + "," + good, "three parts"},
		{"padding", good + "==", "base64url"},
		{"space before", " " + good, "base64url"},
		{"newline after", good + "\n", "base64url"},
		{"newline within", parts[0] + "." + parts[1][:8] + "\r\n" + parts[1][8:] + "." + parts[2], "base64url"},
		{"NUL", good + "\x00", "base64url"},
		{"too long", f.withClaims("x", `"`+strings.Repeat("x", 8<<10)+`"`), "MaxTokenBytes"},

		// header
		{"crit", f.withHeader(`"crit":["exp"],"exp":1`), `member "crit"`},
		{"crit empty", f.withHeader(`"crit":[]`), `member "crit"`},
		{"b64 false", f.withHeader(`"b64":false`), `member "b64"`},
		{"header with duplicate names", f.withHeader(`"alg":"EdDSA"`), "in the header: malformed JWS: its JSON is not one object"},
		{"header deeply nested", f.withHeader(`"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000)), "deeper than 4"},
		{"header not UTF-8", f.withHeader("\"x\":\"\xff\""), "in the header: malformed JWS: its JSON is not one object"},
		{"header a list", token(`["EdDSA"]`, claims(), "EdDSA", f.raw["ed"]), "in the header: malformed JWS: its JSON is not one object"},
		{"typ of a proof", f.withHeader(`"typ":"safe-proof+jws"`), `type "safe-proof+jws"`},
		{"typ of a DPoP proof", f.withHeader(`"typ":"dpop+jwt"`), `type "dpop+jwt"`},
		{"typ of an ID event", f.withHeader(`"typ":"secevent+jwt"`), `type "secevent+jwt"`},
		{"typ a number", f.withHeader(`"typ":1`), `"typ" is not a string`},
		{"token in a token", f.withHeader(`"cty":"JWT"`), "within tokens"},

		// payload
		{"payload empty", f.signed("EdDSA", "ed", ""), "in the claims"},
		{"payload a token", f.signed("EdDSA", "ed", good), "in the claims"},
		{"payload a list", f.signed("EdDSA", "ed", "["+claims()+"]"), "in the claims"},
		{"payload with more behind", f.signed("EdDSA", "ed", claims()+"{}"), "in the claims"},
		{"payload deeply nested", f.withClaims("x", strings.Repeat("[", 2000)+strings.Repeat("]", 2000)), "deeper than 32"},
		{"payload with duplicate names", f.signed("EdDSA", "ed", strings.Replace(claims(), "{", `{"sub":"root",`, 1)), "in the claims"},
		{"duplicate names by escapes", f.signed("EdDSA", "ed", strings.Replace(claims(), "{", `{"s\u0075b":"root",`, 1)), "in the claims"},
		{"payload not UTF-8", f.withClaims("x", "\"\xff\""), "in the claims"},
		{"half a surrogate pair", f.withClaims("x", `"\ud800"`), "in the claims"},

		// claims
		{"iss missing", f.withClaims("iss", ""), "no claim iss"},
		{"iss a number", f.withClaims("iss", "1"), `"iss" is not a string`},
		{"iss unknown", f.withClaims("iss", `"https://evil.example"`), "evil.example\" is not registered"},
		{"iss with a slash", f.withClaims("iss", `"`+issuer+`/"`), "id.example/\" is not registered"},
		{"iss of another audience", f.signed("EdDSA", "other", claims("iss", `"`+other+`"`)), "other.example\" is not registered"},
		{"sub missing", f.withClaims("sub", ""), "no claim sub"},
		{"sub empty", f.withClaims("sub", `""`), "no claim sub"},
		{"sub null", f.withClaims("sub", "null"), `"sub" is not a string`},
		{"sub a number", f.withClaims("sub", "42"), `"sub" is not a string`},
		{"sub too long", f.withClaims("sub", `"`+strings.Repeat("a", 256)+`"`), "sub has 256 bytes"},
		{"jti a number", f.withClaims("jti", "1"), `"jti" is not a string`},
		{"aud missing", f.withClaims("aud", ""), "aud is not a string"},
		{"aud a number", f.withClaims("aud", "7"), "aud is not a string"},
		{"aud null in a list", f.withClaims("aud", `["SHAREDATA",null]`), "aud is not a string"},
		{"aud an object", f.withClaims("aud", `{"SHAREDATA":true}`), "aud is not a string"},
		{"aud an empty list", f.withClaims("aud", `[]`), "not for the audience"},
		{"aud another", f.withClaims("aud", `"OTHER"`), "not for the audience"},
		{"aud in lower case", f.withClaims("aud", `"sharedata"`), "not for the audience"},
		{"aud a part", f.withClaims("aud", `["SHAREDATA2","SHARE"]`), "not for the audience"},
		{"expired", f.withClaims("exp", at(-6)), "expired"},
		{"expired in 1970", f.withClaims("exp", "0"), "expired"},
		{"exp missing", f.withClaims("exp", ""), "no claim exp"},
		{"exp a text", f.withClaims("exp", `"4000000000"`), "exp is not a number"},
		{"exp null", f.withClaims("exp", "null"), "exp is not a number"},
		{"exp negative", f.withClaims("exp", "-1"), "exp is not a number"},
		{"exp too large for a number", f.withClaims("exp", "1e400"), "exp is not a number"},
		{"exp in milliseconds", f.withClaims("exp", "4000000000000"), "exp is not a number"},
		{"exp not a number", f.withClaims("exp", "NaN"), "in the claims"},
		{"nbf in the future", f.withClaims("nbf", at(20)), "not valid before"},
		{"nbf a text", f.withClaims("nbf", `"0"`), "nbf is not a number"},
		{"iat in the future", f.withClaims("iat", at(20)), "in the future"},
		{"iat an object", f.withClaims("iat", `{}`), "iat is not a number"},
	}
	if len(bad) < 60 {
		t.Errorf("only %d bad tokens", len(bad))
	}
	for _, test := range bad {
		caller, err := f.authenticator.AuthenticateToken(context.Background(), test.token)
		if caller != nil || !errors.Is(err, auth.ErrInvalidToken) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, %v; want the reason %q", test.name, caller, err, test.reason)
			continue
		}
		if errors.Is(err, auth.ErrTokenExpired) != (test.reason == "expired") {
			t.Errorf("%s: %v is ErrTokenExpired, or should be", test.name, err)
		}
		checkNoToken(t, err, test.token)
		if test.name == "space before" { // a header may have several (RFC 6750 section 2.1)
			continue
		}
		if caller, err := f.authenticator.Authenticate(inHeader(test.token)); caller != nil || !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("%s, in the header: %v, %v", test.name, caller, err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("a URL in a header was requested %d times", n)
	}
	if _, err := f.authenticator.AuthenticateToken(context.Background(), good); err != nil {
		t.Errorf("the good token: %v", err)
	}
}

// checkNoToken fails if an error contains a token, or its payload or signature.
func checkNoToken(t testing.TB, err error, token string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(token, func(c rune) bool { return c == '.' || c == '"' || c == '{' }) {
		if len(part) > 20 && strings.Contains(err.Error(), part) {
			t.Errorf("the error contains a part of the token: %v", err)
		}
	}
}
