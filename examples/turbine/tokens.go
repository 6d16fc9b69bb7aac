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

// issuer stands for whoever shares the secret: the tokens do not say it.
const issuer = "turbine"

// channelsClaim lists the channels that a client may subscribe to: all, if it is empty.
const channelsClaim = "channels"

// tokens checks tokens.
type tokens struct{ authenticator *auth.Authenticator }

func newTokens(c config) (*tokens, error) {
	key := []byte(c.secret)
	if c.dev && c.secret == devSecret {
		// HMAC fills keys with zeros (RFC 2104 section 2), so this one verifies the same
		// tokens and is as long as others have to be (RFC 7518 section 3.2).
		key = append(key, make([]byte, 32-len(key))...)
	}
	keys, err := auth.NewKeys(key)
	if err != nil {
		return nil, fmt.Errorf("%s: use at least 32 bytes, as openssl rand -base64 32 prints: %w", secretVariable, err)
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

var errNoChannels = errors.New("the claim channels is missing, or no list of strings")

// caller returns the client that a token is for. Its Value is the list of channels.
func (t *tokens) caller(token string) (*sharedata.Caller, error) {
	caller, err := t.authenticator.AuthenticateToken(context.Background(), token) // which does not wait for given keys
	if err != nil {
		return nil, err
	}
	list, _, err := auth.Claim[[]string](caller, channelsClaim)
	if err != nil || list == nil {
		return nil, errNoChannels
	}
	caller.Value = list
	return caller, nil
}

// maySubscribe reports whether a client may subscribe to a channel.
func maySubscribe(caller *sharedata.Caller, channel string) bool {
	list, ok := caller.Value.([]string)
	return ok && (len(list) == 0 || slices.Contains(list, channel))
}

// devToken returns a token for every channel, signed with devSecret.
func devToken(expires time.Time) (string, error) {
	token, err := jwt.NewBuilder().Subject("user-123").Expiration(expires).Claim(channelsClaim, []string{}).Build()
	if err != nil {
		return "", err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.HS256, []byte(devSecret)))
	return string(signed), err
}
