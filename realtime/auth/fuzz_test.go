package auth_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/realtime/auth"
)

// FuzzAuthenticateToken makes tokens of arbitrary parts in four ways: the header is the whole
// token, or header and payload are signed by the key of the issuer, by another key, or
// by the public key as the secret of an HMAC. Only what the issuer signed may be accepted.
func FuzzAuthenticateToken(f *testing.F) {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))) // the same in every run, for the seeds
	stranger := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	public := private.Public().(ed25519.PublicKey)
	key := must(jwk.FromRaw(public))
	if err := key.Set(jwk.KeyIDKey, "k"); err != nil {
		f.Fatal(err)
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(auth.DefaultAudience, "i", must(auth.NewKeys(key))); err != nil {
		f.Fatal(err)
	}
	authenticator := must(auth.NewAuthenticator(authorities, &auth.Options{AllowNoExpiry: true}))

	f.Fuzz(func(t *testing.T, header, payload string, way byte) {
		compact := header
		switch way % 4 {
		case 1:
			compact = token(header, payload, "EdDSA", private)
		case 2:
			compact = token(header, payload, "EdDSA", stranger)
		case 3:
			compact = token(header, payload, "HS256", []byte(public))
		}
		caller, err := authenticator.AuthenticateToken(context.Background(), compact)
		if err != nil {
			if caller != nil || !errors.Is(err, auth.ErrInvalidToken) || len(err.Error()) > 1000 {
				t.Fatalf("%+v, %v", caller, err)
			}
			checkNoToken(t, err, compact)
			return
		}
		cut := strings.LastIndex(compact, ".")
		signature, err := base64.RawURLEncoding.DecodeString(compact[cut+1:])
		if err != nil || !ed25519.Verify(public, []byte(compact[:cut]), signature) {
			t.Fatalf("accepted a token that the key did not sign: %q", compact)
		}
		if caller.Subject == "" || caller.Issuer != "i" || !utf8.ValidString(caller.Subject) || caller.Claims != nil && !json.Valid(caller.Claims) {
			t.Fatalf("the caller is %+v", caller)
		}
	})
}
