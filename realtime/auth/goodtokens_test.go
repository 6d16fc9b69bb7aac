package auth_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/internal/jose"
	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

// TestAuthenticateToken_GoodTokens runs with a clock that stands still, so that the edges of
// the leeway are exact.
func TestAuthenticateToken_GoodTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		idOf := map[string]string{"RS": "rsa", "PS": "rsa", "HS": "hs", "Ed": "ed", "ES256": "ec", "ES384": "p384", "ES512": "p521"}
		good := map[string]string{
			"no kid, and one key fits":     token(`{"alg":"ES256"}`, claims(), "ES256", f.raw["ec"]),
			"key that names its alg":       f.signed("PS256", "bound", claims()),
			"second issuer":                token(`{"alg":"EdDSA","kid":"ed"}`, claims("iss", `"`+second+`"`), "EdDSA", f.raw["second"]),
			"typ JWT":                      f.withHeader(`"typ":"JWT"`),
			"typ jwt":                      f.withHeader(`"typ":"jwt"`),
			"typ at+jwt":                   f.withHeader(`"typ":"at+jwt"`),
			"typ application/at+jwt":       f.withHeader(`"typ":"application/at+jwt"`),
			"unknown member of header":     f.withHeader(`"x":{"y":1}`),
			"aud a list":                   f.withClaims("aud", `["OTHER","SHAREDATA"]`),
			"aud a list of one":            f.withClaims("aud", `["SHAREDATA"]`),
			"dates with fractions":         f.withClaims("exp", at(9.125), "iat", at(-0.5), "nbf", at(-0.25)),
			"date with an exponent":        f.withClaims("exp", "9.4669e8", "iat", ""),
			"iat missing":                  f.withClaims("iat", ""),
			"exp just within the leeway":   f.withClaims("exp", at(-4.999)),
			"nbf at the leeway":            f.withClaims("nbf", at(5)),
			"iat at the leeway":            f.withClaims("iat", at(5)),
			"jti":                          f.withClaims("jti", `"t-1"`),
			"longest sub":                  f.withClaims("sub", `"`+strings.Repeat("a", 255)+`"`),
			"sub with escapes":             f.withClaims("sub", `"\u0061\n\ud83d\ude00"`),
			"space in the claims":          f.signed("EdDSA", "ed", "\n"+strings.ReplaceAll(claims(), ",", " ,\t")+" "),
			"claims of 32 levels":          f.withClaims("x", strings.Repeat("[", 31)+strings.Repeat("]", 31)),
			"parameter of a key (ignored)": f.withHeader(`"jku":"https://evil.example","x5c":["AAAA"]`),
		}
		for _, algorithm := range jose.Algorithms() {
			id := idOf[algorithm]
			if id == "" {
				id = idOf[algorithm[:2]]
			}
			good[algorithm] = f.signed(algorithm, id, claims())
		}
		if len(good) < 20 {
			t.Errorf("only %d good tokens", len(good))
		}
		for name, token := range good {
			caller, err := f.authenticator.AuthenticateToken(context.Background(), token)
			if err != nil || caller.Subject == "" || caller.Issuer == "" {
				t.Errorf("%s: %+v, %v", name, caller, err)
			}
		}
		for name, token := range map[string]string{
			"exp at the leeway": f.withClaims("exp", at(-5)), "nbf behind it": f.withClaims("nbf", at(5.001)), "iat behind it": f.withClaims("iat", at(5.001)),
		} {
			if _, err := f.authenticator.AuthenticateToken(context.Background(), token); !errors.Is(err, auth.ErrInvalidToken) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAuthenticateToken_Caller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, test := range map[string]struct {
			options *auth.Options
			want    sharedata.Caller
		}{
			"default":          {nil, sharedata.Caller{Claims: []byte(`{"a\"b":"\n","roles":["x","y"]}`), ExpiresAt: now.Add(605500 * time.Millisecond)}},
			"one claim":        {&auth.Options{RecordedClaims: []string{"exp", "roles", "missing"}}, sharedata.Caller{Claims: []byte(`{"roles":["x","y"]}`), ExpiresAt: now.Add(605500 * time.Millisecond)}},
			"no claims":        {&auth.Options{RecordedClaims: []string{}, Leeway: -1}, sharedata.Caller{ExpiresAt: now.Add(600500 * time.Millisecond)}},
			"leeway of 2 min":  {&auth.Options{RecordedClaims: []string{}, Leeway: 2 * time.Minute}, sharedata.Caller{ExpiresAt: now.Add(720500 * time.Millisecond)}},
			"largest of sizes": {&auth.Options{RecordedClaims: []string{}, MaxTokenBytes: -1}, sharedata.Caller{ExpiresAt: now.Add(605500 * time.Millisecond)}},
		} {
			f := newFixture(t, test.options)
			test.want.Subject, test.want.Issuer, test.want.Audience, test.want.TokenID = "anna", issuer, []string{"OTHER", "SHAREDATA"}, "t1"
			test.want.IssuedAt = now
			caller, err := f.authenticator.AuthenticateToken(context.Background(),
				f.withClaims("aud", `["OTHER","SHAREDATA"]`, "jti", `"t1"`, "nbf", "0", "exp", at(600.5), "roles", `[ "x", "y" ]`, `a"b`, `"\n"`))
			if err != nil || !caller.ExpiresAt.Equal(test.want.ExpiresAt) || !caller.IssuedAt.Equal(now) {
				t.Fatalf("%s: %+v, %v", name, caller, err)
			}
			caller.ExpiresAt, caller.IssuedAt = test.want.ExpiresAt, now
			if !reflect.DeepEqual(*caller, test.want) {
				t.Errorf("%s: %+v; want %+v", name, *caller, test.want)
			}
		}
	})
}

func TestAuthenticateToken_NoExpiry(t *testing.T) {
	f := newFixture(t, &auth.Options{AllowNoExpiry: true})
	caller, err := f.authenticator.AuthenticateToken(context.Background(), f.withClaims("exp", ""))
	if err != nil || !caller.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", caller, err)
	}
	if _, err := f.authenticator.AuthenticateToken(context.Background(), f.withClaims("exp", at(-60))); !errors.Is(err, auth.ErrTokenExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestAuthorities_Rotation(t *testing.T) {
	authorities := auth.NewAuthorities()
	authenticator := must(auth.NewAuthenticator(authorities, &auth.Options{Audience: "A"}))
	newKey := func(id string) (jwk.Key, string) {
		raw := newEd25519()
		key := must(jwk.FromRaw(raw))
		if err := key.Set(jwk.KeyIDKey, id); err != nil {
			t.Fatal(err)
		}
		return key, token(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, id), claims("aud", `"A"`), "EdDSA", raw)
	}
	first, byFirst := newKey("1")
	second, bySecond := newKey("2")
	third, byThird := newKey("3")
	check := func(name string, want map[string]bool) {
		t.Helper()
		for token, accepted := range want {
			if _, err := authenticator.AuthenticateToken(context.Background(), token); (err == nil) != accepted {
				t.Errorf("%s: %v, want accepted %t", name, err, accepted)
			}
		}
	}
	set := func(keys ...any) {
		t.Helper()
		if err := authorities.Set("A", issuer, must(auth.NewKeys(keys...))); err != nil {
			t.Fatal(err)
		}
	}
	check("no authority", map[string]bool{byFirst: false})
	set(first, second)
	check("old and new", map[string]bool{byFirst: true, bySecond: true, byThird: false})
	set(second, third)
	check("rotated", map[string]bool{byFirst: false, bySecond: true, byThird: true})
	authorities.Remove("A", issuer)
	check("removed", map[string]bool{byFirst: false, bySecond: false, byThird: false})
}

func TestNewKeys_Invalid(t *testing.T) {
	weak := must(jwk.FromRaw([]byte("password")))
	for name, keys := range map[string][]any{
		"none": nil, "nil": {nil}, "text": {"secret"}, "weak secret": {weak}, "empty set": {jwk.NewSet()},
	} {
		if _, err := auth.NewKeys(keys...); !errors.Is(err, auth.ErrInvalidOption) || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v", name, err)
		}
	}
	authorities := auth.NewAuthorities()
	keys := must(auth.NewKeys([]byte(strings.Repeat("s", 32))))
	for name, err := range map[string]error{
		"audience": authorities.Set("", issuer, keys), "issuer": authorities.Set("A", "", keys), "keys": authorities.Set("A", issuer, nil),
		"none": authorities.Set("A", issuer, keys, "none"), "algorithm": authorities.Set("A", issuer, keys, "HS256", "hs256"),
	} {
		if !errors.Is(err, auth.ErrInvalidOption) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, options := range []*auth.Options{{Leeway: -2}, {MaxTokenBytes: -2}} {
		if _, err := auth.NewAuthenticator(authorities, options); !errors.Is(err, auth.ErrInvalidOption) {
			t.Errorf("%+v: %v", options, err)
		}
	}
	if _, err := auth.NewAuthenticator(nil, nil); !errors.Is(err, auth.ErrInvalidOption) {
		t.Errorf("no authorities: %v", err)
	}
}
