package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/safe-go/safe/realtime/auth"
	"github.com/safe-go/safe/sharedata"
)

const (
	// issuer stands for whoever shares the secret: the tokens do not say it.
	issuer = "turbine"
	// channelsClaim lists the channels that a client may subscribe to: all, if it is empty.
	channelsClaim = "channels"
	// minSecret is the length of the shortest secret of HS256 (RFC 7518 section 3.2).
	minSecret = 32
)

// tokens checks tokens.
type tokens struct{ authenticator *auth.Authenticator }

func newTokens(secret string) (*tokens, error) {
	if len(secret) < minSecret && secret != devSecret {
		return nil, fmt.Errorf("%s has %d bytes: use at least %d, as openssl rand -base64 32 prints", secretVariable, len(secret), minSecret)
	}
	keys, err := auth.NewKeys(keyOf(secret))
	if err != nil {
		return nil, err
	}
	authorities := auth.NewAuthorities()
	if err := authorities.Set(auth.DefaultAudience, issuer, keys, "HS256"); err != nil {
		return nil, err
	}
	authenticator, err := auth.NewAuthenticator(authorities, &auth.Options{
		DefaultIssuer: issuer, AllowNoAudience: true, RecordedClaims: []string{channelsClaim},
	})
	return &tokens{authenticator}, err
}

// keyOf returns the key of a secret: HMAC fills a short one with zeros (RFC 2104 section 2),
// so devSecret verifies the same tokens when it is as long as others must be.
func keyOf(secret string) []byte {
	return append([]byte(secret), make([]byte, max(0, minSecret-len(secret)))...)
}

var errNoChannels = errors.New("the claim channels is missing, or no list of strings")

// caller returns the client that a token is for.
func (t *tokens) caller(token string) (*sharedata.Caller, error) {
	caller, err := t.authenticator.AuthenticateToken(context.Background(), token) // which does not wait for given keys
	if err != nil {
		return nil, err
	}
	if list, found, err := auth.Claim[[]string](caller, channelsClaim); err != nil || !found || list == nil {
		return nil, errNoChannels
	}
	return caller, nil
}

var errForbidden = errors.New("the token does not list the channel")

// allow returns an error unless the client may subscribe to a channel.
func allow(caller *sharedata.Caller, channel string) error {
	list, found, err := auth.Claim[[]string](caller, channelsClaim)
	if err != nil || !found || len(list) > 0 && !slices.Contains(list, channel) {
		return errForbidden
	}
	return nil
}

// devToken returns a token for every channel, signed with devSecret.
func devToken(expires time.Time) string {
	token, err := jwt.NewBuilder().Subject("user-123").Expiration(expires).Claim(channelsClaim, []string{}).Build()
	if err == nil {
		var signed []byte
		if signed, err = jwt.Sign(token, jwt.WithKey(jwa.HS256, []byte(devSecret))); err == nil {
			return string(signed)
		}
	}
	return err.Error()
}
