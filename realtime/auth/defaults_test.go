package auth_test

import (
	"errors"
	"testing"

	"github.com/safe-go/safe/realtime/auth"
)

// Tokens that name neither their issuer nor an audience are accepted where Options say so.
func TestAuthenticateToken_Defaults(t *testing.T) {
	bare := newFixture(t, &auth.Options{DefaultIssuer: issuer, AllowNoAudience: true})
	strict := newFixture(t, nil)
	for name, test := range map[string]struct {
		claims   []string
		accepted bool
	}{
		"neither":              {[]string{"iss", "", "aud", ""}, true},
		"both":                 {nil, true},
		"unknown issuer":       {[]string{"iss", `"https://elsewhere.example"`, "aud", ""}, false},
		"another audience":     {[]string{"iss", "", "aud", `"OTHER"`}, false},
		"audience of no type":  {[]string{"aud", `7`}, false},
		"audience null":        {[]string{"aud", `null`}, false},
		"issuer of no type":    {[]string{"iss", `7`}, false},
		"no subject":           {[]string{"iss", "", "aud", "", "sub", ""}, false},
		"expired, and neither": {[]string{"iss", "", "aud", "", "exp", `1`}, false},
	} {
		caller, err := bare.authenticator.AuthenticateToken(t.Context(), bare.withClaims(test.claims...))
		switch {
		case (err == nil) != test.accepted || err != nil && !errors.Is(err, auth.ErrInvalidToken):
			t.Errorf("%s: %v", name, err)
		case err == nil && caller.Issuer != issuer:
			t.Errorf("%s: the issuer is %q", name, caller.Issuer)
		}
		_, err = strict.authenticator.AuthenticateToken(t.Context(), strict.withClaims(test.claims...))
		if (err == nil) != (test.claims == nil) {
			t.Errorf("%s, without the options: %v", name, err)
		}
	}
	unregistered := newFixture(t, &auth.Options{DefaultIssuer: "https://elsewhere.example", AllowNoAudience: true})
	if _, err := unregistered.authenticator.AuthenticateToken(t.Context(), unregistered.withClaims("iss", "")); err == nil {
		t.Error("a default issuer that is not registered is accepted")
	}
}
