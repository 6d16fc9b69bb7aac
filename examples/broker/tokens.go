package main

import (
	"crypto/sha256"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/safe-go/safe/realtime/auth"
)

const (
	issuer    = "broker"             // the claims iss and aud of the tokens
	maxExpiry = 10 * 365 * 24 * 3600 // ten years
)

// keyOf returns the key of HS256 for -secret. That may be shorter than a key has to be (RFC
// 7518 section 3.2), so the key is its hash.
func keyOf(secret string) []byte {
	key := sha256.Sum256([]byte(secret))
	return key[:]
}

func newAuthenticator(secret string) (*auth.Authenticator, error) {
	keys, err := auth.NewKeys(keyOf(secret))
	if err != nil {
		return nil, err
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(issuer, issuer, keys); err != nil {
		return nil, err
	}
	return auth.NewAuthenticator(authorities, &auth.Options{Audience: issuer, RecordedClaims: []string{}, DisableQueryToken: true, Leeway: -1})
}

// newToken returns a token (RFC 7519) of a user.
func (b *broker) newToken(userID string) (string, error) {
	now := time.Now()
	token, err := jwt.NewBuilder().Issuer(issuer).Audience([]string{issuer}).Subject(userID).
		IssuedAt(now).Expiration(now.Add(time.Duration(b.config.expiry) * time.Second)).Build()
	if err != nil {
		return "", err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256, keyOf(b.config.secret)))
	return string(signed), err
}
